"""What optimum-habana keeps beside a model in `gaudi_config.json`: how to compute it on a Gaudi."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError

CONFIG_NAME = "gaudi_config.json"
_OBJECT = "gaudi_config=GaudiConfig()"

# Read by the bridge when it loads: files with one operator a line.
_LISTS = {
    "autocast_bf16_ops": "PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST",
    "autocast_fp32_ops": "PT_HPU_AUTOCAST_FP32_OPS_LIST",
}


@dataclass
class GaudiConfig:
    """How to compute a model on a Gaudi.

    Parameters
    ----------
    use_torch_autocast
        Compute in bfloat16 by `torch.autocast`; the argument `bf16=True` does the same.
    autocast_bf16_ops, autocast_fp32_ops
        Operators to compute in bfloat16 and in float32 under autocast. None leaves the bridge's own lists.
    use_dynamic_shapes
        While a trainer works, let the bridge compile for changing sizes, or for each; None leaves its own choice.
    use_fused_adam
        Train with the bridge's `FusedAdamW` and not with the optimizer that the arguments name. It adds
        `adam_epsilon` before it corrects the bias. An optimizer that the trainer is given goes first.
    use_fused_clip_norm
        Clip gradients by the bridge's `FusedClipNorm`.
    """

    use_torch_autocast: bool = False
    autocast_bf16_ops: list[str] | None = None
    autocast_fp32_ops: list[str] | None = None
    use_dynamic_shapes: bool | None = None
    use_fused_adam: bool = False
    use_fused_clip_norm: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GaudiConfig:
        """Return the configuration in `values`; keys of other releases are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> GaudiConfig:
        """Read a `gaudi_config.json`.

        Parameters
        ----------
        name_or_path
            A folder that has the file, the file itself, or a model's name on the Hugging Face hub, such as
            "Habana/bert-base-uncased".
        **options
            Passed to `huggingface_hub.hf_hub_download`, such as `revision` or `token`.

        Raises
        ------
        LabValueError
            If there is no such file; without a network it says what to use instead.
        """
        path = Path(name_or_path)
        if path.is_dir():
            path = path / CONFIG_NAME
        elif not path.is_file():
            path = _download(str(name_or_path), options)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"it holds a {type(values).__name__}")
            return cls.from_dict(values)
        except FileNotFoundError:
            raise LabValueError(
                f"The folder {str(name_or_path)!r} has no {CONFIG_NAME}.",
                python=f"GaudiConfig().save_pretrained({str(name_or_path)!r})",
            ) from None
        except ValueError as error:
            raise LabValueError(f"{path} is not a JSON object: {error}.") from error

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the configuration to `gaudi_config.json` in `folder`."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG_NAME).write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values."""
        return dataclasses.asdict(self)

    def declare_autocast_bf16_fp32_ops(self) -> None:
        """Tell the bridge the operator lists. It reads them when it loads, so this comes before.

        Raises
        ------
        LabError
            If the bridge is loaded already, and with other lists.
        """
        wanted = {variable: getattr(self, name) for name, variable in _LISTS.items()}
        if all(ops is None or _read_list(variable) == ops for variable, ops in wanted.items()):
            return
        if bridge.loaded():
            raise LabError(
                "The bridge reads autocast's operator lists when it loads, and it is loaded already. Restart "
                "the kernel and make this the first cell.",
                python=f"import gaudi_lab; gaudi_lab.GaudiConfig({self._lists()})"
                ".declare_autocast_bf16_fp32_ops()",
            )
        for variable, ops in wanted.items():
            if ops is not None:
                os.environ[variable] = _write_list(variable, ops)

    def _lists(self) -> str:
        given = {name: getattr(self, name) for name in _LISTS}
        return ", ".join(f"{name}={ops!r}" for name, ops in given.items() if ops is not None)


def find_gaudi_config(given: Any) -> GaudiConfig | None:
    """Return the configuration that `given` stands for.

    Parameters
    ----------
    given
        A `GaudiConfig`, a folder with a `gaudi_config.json`, or a name on the hub such as
        "Habana/stable-diffusion". None for none.

    Raises
    ------
    LabValueError
        If `given` is none of these, or there is no such file; without a network it says what to use instead.
    """
    if given is None or isinstance(given, GaudiConfig):
        return given
    if isinstance(given, (str, Path)):
        return GaudiConfig.from_pretrained(given)
    raise LabValueError(
        f"gaudi_config is a GaudiConfig, a folder or a name on the hub, not a {type(given).__name__}.",
        python=_OBJECT,
    )


def _download(name: str, options: dict[str, Any]) -> Path:
    # Imported here: a folder or an object needs no network, and so not this library either.
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, CONFIG_NAME, **options))
    # Being offline, mistyping a name and lacking a token are each several classes there, by release.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise LabValueError(
            f"There is no folder {name!r} here, and the Hugging Face hub gave no {CONFIG_NAME} of that name "
            f"({reason}). Use a folder that has one, or pass the object.",
            python=_OBJECT,
        ) from error


def _read_list(variable: str) -> list[str] | None:
    path = os.environ.get(variable)
    if not path or not Path(path).is_file():
        return None
    return [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def _write_list(variable: str, ops: list[str]) -> str:
    # The bridge reads the file at some time after this; it goes with the machine's temporary files.
    with tempfile.NamedTemporaryFile("w", prefix=f"{variable.lower()}_", suffix=".txt", delete=False) as file:
        file.write("\n".join(ops) + "\n")
    return file.name
