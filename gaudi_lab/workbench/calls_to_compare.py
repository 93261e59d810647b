"""What can be compared: a call of a model, a Trainer's evaluation, a pipeline's pictures, any function."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Protocol

import torch
from torch.utils._pytree import tree_flatten, tree_map_only

from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments import call_shapes
from gaudi_lab.measure.causes import signature

Values = Mapping[str, Any]
"""What is varied beside the switches, by name."""

_OF_TIME = re.compile(
    r"runtime|per_second|graph_compilation|warmup|cpu_fallbacks|model_preparation_time|memory"
)


class ComparedCall(Protocol):
    """One way to run something."""

    def run(self, values: Values) -> Any:
        """Run once."""

    def outputs(self, result: Any) -> Any:
        """Return what of a result has to be equal under all settings."""

    def samples(self, result: Any, values: Values) -> int | None:
        """Return how many samples that was; None if it is not known."""

    def check(self, names: Values) -> None:
        """Raise if one of `names`, each with all its values, cannot be varied here."""

    def has_argument(self, name: str) -> bool:
        """Whether an argument of its own has this name, so that it does not mean an option of a switch."""

    def move_inputs(self) -> None:
        """Have what goes in on the device, where what it goes into was just moved to."""

    @property
    def inputs(self) -> dict[str, str]:
        """What goes in, for people, by name: sizes and types of tensors, and plain values."""

    @property
    def generators(self) -> list[torch.Generator]:
        """What random numbers are drawn from, besides the global generators."""


@dataclass
class FunctionCall:
    """A function, called with what is varied by the names of its arguments.

    Attributes
    ----------
    function
        The function.
    args, kwargs
        What it is called with every time.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, values: Values) -> Any:
        """Call it."""
        own = {name: value for name, value in values.items() if name != "dtype" or self._takes("dtype")}
        with self._autocast(values):
            return self.function(*self.args, **{**self.kwargs, **own})

    def outputs(self, result: Any) -> Any:
        """Return all that it returned, but for times: pictures of a pipeline, metrics of a Trainer."""
        return without_times(result)

    def samples(self, result: Any, values: Values) -> int | None:
        """Return how many pictures came out, or the batch size if that is varied."""
        size = values.get("batch_size")
        pictures = count_pictures(result)
        return pictures if pictures is not None else size if isinstance(size, int) else None

    def check(self, names: Values) -> None:
        """Raise if it has no argument of such a name."""
        for name in names:
            if name != "dtype" and not self._takes(name):
                raise LabValueError(
                    f"{name} cannot be varied: the function has no argument of that name.",
                    python=f"gaudi_lab.compare(lambda {name}: ..., over={{{name!r}: [...]}})",
                )
        if not self._takes("dtype"):
            _check_dtypes(names)

    def move_inputs(self) -> None:
        """Leave them: a function knows where it needs them."""

    @property
    def inputs(self) -> dict[str, str]:
        """What it is called with, and which code it is: functions without a name have all the same one."""
        code = getattr(self.function, "__code__", None)
        own = {} if code is None else {"its code": _digest(code)}
        return {**_describe(self.function, self.args, self.kwargs), **own}

    @property
    def generators(self) -> list[torch.Generator]:
        """The generators among its arguments."""
        return _generators((self.args, self.kwargs))

    def has_argument(self, name: str) -> bool:
        """Whether it names such an argument."""
        return name in self._parameters

    def _takes(self, name: str) -> bool:
        takes_all = any(p.kind is p.VAR_KEYWORD for p in self._parameters.values())
        return takes_all or self.has_argument(name)

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return {}

    def _autocast(self, values: Values) -> AbstractContextManager[Any]:
        return nullcontext() if self._takes("dtype") else autocast(values)


@dataclass
class ModelCall:
    """A call of a torch module without gradients.

    Attributes
    ----------
    model
        The module.
    args, kwargs
        What it is called with. `batch_size` repeats or cuts the first dimension of every tensor.
    """

    model: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, values: Values) -> Any:
        """Call it, under autocast if a type is given."""
        args, kwargs = self.given(values)
        with torch.no_grad(), autocast(values):
            return self.model(*args, **kwargs)

    def outputs(self, result: Any) -> Any:
        """Return all that it returned."""
        return result

    def samples(self, result: Any, values: Values) -> int | None:  # noqa: ARG002 - the protocol's
        """Return the size of the first dimension of what goes in."""
        size = values.get("batch_size") or self._rows
        return int(size) if size else None

    def check(self, names: Values) -> None:
        """Raise for what is neither `batch_size` nor `dtype`."""
        _check_known(names, ("batch_size", "dtype"), "a model")
        if "batch_size" in names and self._rows is None:
            raise LabValueError(
                "batch_size cannot be varied: the tensors that go in have no first dimension in common.",
                python='gaudi_lab.compare(function, over={"batch_size": [1, 8]})',
            )

    def has_argument(self, name: str) -> bool:  # noqa: ARG002 - the protocol's
        """No: it varies nothing by names of its own that an option has."""
        return False

    @property
    def inputs(self) -> dict[str, str]:
        """What it is called with."""
        return _describe(self.model.forward, self.args, self.kwargs)

    @property
    def generators(self) -> list[torch.Generator]:
        """The generators among its arguments."""
        return _generators((self.args, self.kwargs))

    def move_inputs(self) -> None:
        """Have its tensors on the device."""
        self.args, self.kwargs = tree_map_only(
            torch.Tensor, lambda tensor: tensor.to("hpu"), (self.args, self.kwargs)
        )

    def given(self, values: Values) -> tuple[Any, Any]:
        """Return what it is called with, as positions and names."""
        size = values.get("batch_size")
        if size is None or size == self._rows:
            return self.args, self.kwargs

        def resize(tensor: torch.Tensor) -> torch.Tensor:
            times = -(-size // len(tensor))
            return tensor.repeat(times, *[1] * (tensor.dim() - 1))[:size]

        args, kwargs = tree_map_only(torch.Tensor, resize, (self.args, self.kwargs))
        return args, kwargs

    @property
    def _rows(self) -> int | None:
        tensors = [x for x in tree_flatten((self.args, self.kwargs))[0] if isinstance(x, torch.Tensor)]
        sizes = {len(tensor) if tensor.dim() else None for tensor in tensors}
        return sizes.pop() if len(sizes) == 1 else None


@dataclass
class EvaluationCall:
    """An evaluation of a Trainer. Its metrics are compared, and its predictions where it computes metrics of them.

    Attributes
    ----------
    trainer
        The Trainer.
    kwargs
        For its `evaluate`.
    """

    trainer: Any
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, values: Values) -> Any:
        """Evaluate once, quietly."""
        predictions: list[Any] = []
        with self._set_up(values, predictions), autocast(values):
            metrics = self.trainer.evaluate(**self.kwargs)
        return {"metrics": metrics, "predictions": [x.predictions for x in predictions]}

    def outputs(self, result: Any) -> Any:
        """Return predictions, and the metrics that are not of time."""
        return {**result, "metrics": without_times(result["metrics"])}

    def samples(self, result: Any, values: Values) -> int | None:  # noqa: ARG002 - the protocol's
        """Return the size of the data set, or of all if there are several."""
        own, data = self.trainer.eval_dataset, self.kwargs.get("eval_dataset")
        if data is None:
            data = own
        elif isinstance(data, str):  # its name among the Trainer's
            data = own.get(data) if isinstance(own, Mapping) else None
        sets: list[Any] = [*data.values()] if isinstance(data, Mapping) else [data]
        return sum(map(len, sets)) if all(hasattr(one, "__len__") for one in sets) else None

    def check(self, names: Values) -> None:
        """Raise for what is neither `batch_size` nor `dtype`."""
        _check_known(names, ("batch_size", "dtype"), "a Trainer")

    def has_argument(self, name: str) -> bool:  # noqa: ARG002 - the protocol's
        """No: it varies nothing by names of its own that an option has."""
        return False

    def move_inputs(self) -> None:
        """Leave them: a Trainer moves its batches."""

    @property
    def inputs(self) -> dict[str, str]:
        """How much it evaluates, and what else it is told."""
        told = {name: value for name, value in self.kwargs.items() if name != "eval_dataset"}
        return {"samples": str(self.samples(None, {})), **_describe(self.trainer.evaluate, (), told)}

    @property
    def generators(self) -> list[torch.Generator]:
        """None: a Trainer draws from the global ones."""
        return []

    @contextmanager
    def _set_up(self, values: Values, predictions: list[Any]) -> Iterator[None]:
        trainer, args = self.trainer, self.trainer.args
        compute, quiet, size = trainer.compute_metrics, args.disable_tqdm, args.per_device_eval_batch_size

        def keep(given: Any, **options: Any) -> Any:
            predictions.append(given)
            return compute(given, **options)

        try:
            args.disable_tqdm = True
            args.per_device_eval_batch_size = values.get("batch_size") or size
            if compute is not None:
                trainer.compute_metrics = keep
            yield
        finally:
            trainer.compute_metrics = compute
            args.disable_tqdm, args.per_device_eval_batch_size = quiet, size


@dataclass
class PicturesCall:
    """A call of a diffusers pipeline.

    Attributes
    ----------
    pipeline
        The pipeline.
    args, kwargs
        What it is called with.
    """

    pipeline: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, values: Values) -> Any:
        """Generate once, quietly."""
        own = {name: value for name, value in values.items() if name != "dtype"}
        with self._quietly(), autocast(values):
            return self.pipeline(*self.args, **{**self.kwargs, **own})

    def outputs(self, result: Any) -> Any:
        """Return the pictures."""
        return without_times(result)

    def samples(self, result: Any, values: Values) -> int | None:  # noqa: ARG002 - the protocol's
        """Return how many pictures there are."""
        return count_pictures(result)

    def check(self, names: Values) -> None:
        """Raise for what the pipeline is not called with."""
        known = (*inspect.signature(self.pipeline.__call__).parameters, "dtype")
        _check_known(names, known, f"a {type(self.pipeline).__name__}")

    def has_argument(self, name: str) -> bool:
        """Whether the pipeline is called with it."""
        return name in inspect.signature(self.pipeline.__call__).parameters

    def move_inputs(self) -> None:
        """Leave them: a pipeline moves them."""

    @property
    def inputs(self) -> dict[str, str]:
        """What it is called with."""
        return _describe(self.pipeline.__call__, self.args, self.kwargs)

    @property
    def generators(self) -> list[torch.Generator]:
        """The generators among its arguments."""
        return _generators((self.args, self.kwargs))

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        pipeline = self.pipeline
        before = dict(getattr(pipeline, "_progress_bar_config", {}))
        preview = getattr(pipeline, "preview", None)
        try:
            pipeline.set_progress_bar_config(**{**before, "disable": True})
            if preview is not None:
                pipeline.preview = False
            yield
        finally:
            pipeline.set_progress_bar_config(**before)
            if preview is not None:
                pipeline.preview = preview


def without_times(result: Any) -> Any:
    """Return what was computed of a result, without what says how long that took.

    Of what a pipeline returns these are the pictures; of a Trainer's metrics, also in what `predict` returns, all that
    are not of time.
    """
    if hasattr(result, "images"):
        return result.images
    if isinstance(metrics := getattr(result, "metrics", None), Mapping) and hasattr(result, "_replace"):
        return result._replace(metrics=without_times(metrics))
    if isinstance(result, Mapping) and any(str(name).endswith("_runtime") for name in result):
        return {name: value for name, value in result.items() if not _OF_TIME.search(str(name))}
    return result


def count_pictures(result: Any) -> int | None:
    """Return how many pictures a pipeline has returned; None if it was no pipeline."""
    pictures = getattr(result, "images", None)
    return len(pictures) if isinstance(pictures, Sized) else None


def autocast(values: Values) -> AbstractContextManager[Any]:
    """Return autocast to the type that is given as `dtype`; nothing without one.

    Raises
    ------
    LabValueError
        If it is no type of torch.
    """
    given = values.get("dtype")
    if given is None:
        return nullcontext()
    dtype = read_dtype(given)
    return nullcontext() if dtype is torch.float32 else torch.autocast("hpu", dtype)


def read_dtype(given: Any) -> torch.dtype:
    """Return the type that is given, as such or by its name.

    Raises
    ------
    LabValueError
        If it is no type of torch.
    """
    dtype = getattr(torch, str(given).removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise LabValueError(
            f"{given!r} is no type of torch; there are bfloat16, float16, float32.",
            python='gaudi_lab.compare(model, over={"dtype": [None, "bfloat16"]})',
            magic="%gaudi_compare --over dtype=None,bfloat16 model(**batch)",
        )
    return dtype


def _check_dtypes(values: Values) -> None:
    for given in values.get("dtype") or ():
        if given is not None:
            read_dtype(given)


def _check_known(names: Values, known: tuple[str, ...], what: str) -> None:
    _check_dtypes(names)
    for name in names:
        if name not in known:
            raise LabValueError(
                f"{name} cannot be varied for {what}; there are {', '.join(known)} and environment.",
                python="gaudi_lab.compare(function, over={...})  # a function has the arguments that you give it",
            )


def _generators(given: Any) -> list[torch.Generator]:
    return [x for x in tree_flatten(given)[0] if isinstance(x, torch.Generator)]


def _describe(called: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, str]:
    def describe(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{signature.text_of_size(value.shape)} {signature.name_of_dtype(value.dtype)}"
        plain = value is None or isinstance(value, (bool, int, float, str))
        return repr(value) if plain else type(value).__name__

    values = call_shapes.read_values(called, args, kwargs, most=signature.MOST_VALUES)
    return {name: describe(value) for name, value in values}


def _digest(code: CodeType) -> str:
    """Return what tells the code of a function from other code, whatever lines and files they stand on."""

    def tell(constant: Any) -> str:
        if isinstance(constant, frozenset):  # whose order is another one in each process
            return repr(sorted(constant, key=repr))
        return _digest(constant) if isinstance(constant, CodeType) else repr(constant)

    told = [code.co_code.hex(), *code.co_names, *code.co_freevars, *map(tell, code.co_consts)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]
