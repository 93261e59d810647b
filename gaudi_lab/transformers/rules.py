"""Which training arguments do not go together, each with what to write instead. Pure: looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_lab import bridge
from gaudi_lab.errors import LabValueError
from gaudi_lab.transformers.arguments import find_unsupported, write_line

if TYPE_CHECKING:
    from gaudi_lab.transformers.arguments import Arguments

GAUDI_FUSED_SDPA = "gaudi_fused_sdpa"
ATTENTION = ("eager", "sdpa", GAUDI_FUSED_SDPA)


@dataclass(frozen=True)
class Process:
    """The execution mode of the process, as far as it is decided.

    Attributes
    ----------
    lazy
        Whether it is in lazy mode, or will be.
    decided
        Whether arguments must keep to that: someone chose it, or a real bridge is loaded, which keeps it.
    """

    lazy: bool
    decided: bool

    @classmethod
    def now(cls) -> Process:
        """Return the mode of this process."""
        return cls(bridge.is_lazy(), bridge.mode_decided())


def check(args: Arguments, process: Process) -> None:
    """Raise the first problem with `args`.

    Parameters
    ----------
    args
        As they were given; `use_lazy_mode` is None where it was not.
    process
        What the process allows.

    Raises
    ------
    LabValueError
        Naming what was asked, why it cannot be, and the line to write instead.
    """
    for problem in _find_problems(args, process):
        raise problem


def _find_problems(args: Arguments, process: Process) -> Iterator[LabValueError]:
    yield from _check_device(args)
    yield from _check_numbers(args)
    yield from _check_attention(args)
    if args.use_habana:
        yield from _check_precision(args)
        yield from _check_compile(args)
        yield from _check_mode(args, process)
    yield from _check_graphs(args, process)
    yield from find_unsupported(args)


def _check_device(args: Arguments) -> Iterator[LabValueError]:
    if args.use_habana and args.use_cpu:
        yield LabValueError(
            "use_habana=True and use_cpu=True ask for two devices.",
            python=write_line(args, use_habana=False),
        )
    if args.use_habana:
        return
    asked = {
        "use_lazy_mode": bool(args.use_lazy_mode),
        "use_hpu_graphs_for_inference": args.use_hpu_graphs_for_inference,
        "gaudi_config_name": args.gaudi_config_name is not None,
        "attn_implementation": args.attn_implementation == GAUDI_FUSED_SDPA,
    }
    for name, given in asked.items():
        if given:
            value = getattr(args, name)
            yield LabValueError(
                f"{name}={value!r} is about a Gaudi, and use_habana is False. On the CPU leave it out; otherwise:",
                python=write_line(args, use_habana=True, **{name: value}),
            )


def _check_numbers(args: Arguments) -> Iterator[LabValueError]:
    if args.throughput_warmup_steps < 0:
        yield LabValueError(
            f"throughput_warmup_steps={args.throughput_warmup_steps} is negative; it is how many first batches "
            "the steady throughput leaves out.",
            python=write_line(args, throughput_warmup_steps=3),
        )
    if args.max_hpu_graphs is not None and args.max_hpu_graphs < 1:
        yield LabValueError(
            f"max_hpu_graphs={args.max_hpu_graphs} would capture none.",
            python=write_line(args, use_hpu_graphs_for_inference=False),
        )


def _check_precision(args: Arguments) -> Iterator[LabValueError]:
    for name in ("fp16", "fp16_full_eval"):
        if getattr(args, name):
            instead = name.replace("fp16", "bf16")
            yield LabValueError(
                f"{name}=True: a Gaudi's half precision is bfloat16.",
                python=write_line(args, **{instead: True}),
            )
    if args.tf32 is not None:
        yield LabValueError(
            f"tf32={args.tf32}: a Gaudi has no TF32. Leave it out, or use bfloat16.",
            python=write_line(args, bf16=True),
        )


def _check_compile(args: Arguments) -> Iterator[LabValueError]:
    backend = args.torch_compile_backend
    if backend not in (None, bridge.COMPILE_BACKEND):
        yield LabValueError(
            f"torch_compile_backend={backend!r} does not compile for a Gaudi.",
            python=write_line(args, torch_compile=True, torch_compile_backend=bridge.COMPILE_BACKEND),
        )
    if not args.compiles:
        for name in ("use_regional_compilation", "compile_dynamic"):
            if getattr(args, name):
                yield LabValueError(
                    f"{name}={getattr(args, name)} is an option of torch.compile, which is off.",
                    python=write_line(args, torch_compile=True, **{name: getattr(args, name)}),
                )


def _check_mode(args: Arguments, process: Process) -> Iterator[LabValueError]:
    if args.compiles and args.use_lazy_mode:
        yield LabValueError(
            "torch_compile=True needs eager mode, and use_lazy_mode=True asks for lazy mode.",
            python=write_line(args, torch_compile=True, use_lazy_mode=False),
        )
    if not process.decided:
        return
    if args.compiles and process.lazy:
        yield bridge.refuse_mode("torch_compile=True needs eager mode", lazy=False)
    if args.use_lazy_mode is not None and args.use_lazy_mode != process.lazy:
        wanted = "lazy" if args.use_lazy_mode else "eager"
        yield bridge.refuse_mode(
            f"use_lazy_mode={args.use_lazy_mode} asks for {wanted} mode", lazy=args.use_lazy_mode
        )


def _check_graphs(args: Arguments, process: Process) -> Iterator[LabValueError]:
    if not args.use_hpu_graphs_for_inference:
        for name in ("disable_tensor_cache_hpu_graphs", "max_hpu_graphs"):
            if getattr(args, name):
                yield LabValueError(
                    f"{name}={getattr(args, name)} is an option of HPU graphs, which are off.",
                    python=write_line(
                        args,
                        use_habana=True,
                        use_hpu_graphs_for_inference=True,
                        **{name: getattr(args, name)},
                    ),
                )
        return
    if args.compiles:
        yield LabValueError(
            "use_hpu_graphs_for_inference=True and torch_compile=True exclude each other: HPU graphs exist in "
            "lazy mode, torch.compile in eager mode.",
            python=write_line(args, use_hpu_graphs_for_inference=True, torch_compile=False),
        )
    if args.use_lazy_mode is False:
        yield LabValueError(
            "use_hpu_graphs_for_inference=True needs lazy mode, and use_lazy_mode is False.",
            python=write_line(args, use_hpu_graphs_for_inference=True, use_lazy_mode=True),
        )
    if process.decided and not process.lazy:
        yield bridge.refuse_mode("use_hpu_graphs_for_inference=True needs lazy mode", lazy=True)


def _check_attention(args: Arguments) -> Iterator[LabValueError]:
    if args.attn_implementation not in (None, *ATTENTION):
        yield LabValueError(
            f"attn_implementation={args.attn_implementation!r} is none of {', '.join(ATTENTION)}.",
            python=write_line(args, attn_implementation=GAUDI_FUSED_SDPA if args.use_habana else "sdpa"),
        )
    if args.attn_implementation != GAUDI_FUSED_SDPA:
        for name in ("flash_attention_recompute", "flash_attention_fast_softmax"):
            if getattr(args, name):
                yield LabValueError(
                    f"{name}=True is an option of FusedSDPA, which attn_implementation does not ask for.",
                    python=write_line(
                        args, use_habana=True, attn_implementation=GAUDI_FUSED_SDPA, **{name: True}
                    ),
                )
