"""The functions behind the magics, each of which names its own. They act on the workbench of this process.

What moves a switch returns a `ChangeHandle`, which puts it back; what raises has changed nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.measure import recorder
from gaudi_lab.measure.causes import fallbacks
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.measure.why import Why
from gaudi_lab.report import Change, Operators, Status
from gaudi_lab.settings import (
    COMPILE,
    FUSED_SDPA,
    HPU_GRAPHS,
    OPERATORS,
    Dynamic,
    Mode,
    Settings,
    Softmax,
    Switch,
)
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.lab import ChangeHandle

if TYPE_CHECKING:
    from gaudi_lab.comparison.result import Comparison
    from gaudi_lab.measure.forecast import Forecast


@overload
def mode(name: None = None) -> Mode: ...
@overload
def mode(
    name: str | Mode, *, fresh_process: bool = ..., drop: Sequence[str] = ..., rerun: Sequence[str] = ...
) -> ChangeHandle: ...


def mode(
    name: str | Mode | None = None,
    *,
    fresh_process: bool = False,
    drop: Sequence[str] = (),
    rerun: Sequence[str] = (),
) -> Mode | ChangeHandle:
    """Show or set the execution mode. In a notebook: `%gaudi_mode [lazy|eager|compile]`.

    Where the bridge keeps its mode until the process ends, the notebook goes over into a fresh process between lazy
    and the others, as `relaunch` does it.

    Parameters
    ----------
    name
        "lazy" (collect operators into graphs), "eager" (run each at once) or "compile" (eager, with
        `torch.compile` on the attached models). None changes nothing.
    fresh_process
        Go over into a fresh process even if the bridge can change its mode.
    drop, rerun
        As in `relaunch`, should there be a fresh process.

    Returns
    -------
    Mode or ChangeHandle
        The mode in effect; or a handle that returns to the one before.

    Raises
    ------
    LabError
        If a fresh process is needed, and `relaunch` refuses. Nothing has changed.

    Examples
    --------
    >>> with gaudi_lab.mode("lazy"):
    ...     model(**batch)
    """
    if name is None:
        return lab.current().mode
    wanted = Mode.parse(name)
    if not fresh_process and not bridge.needs_fresh_process(wanted.is_lazy):
        return lab.current().change(mode=wanted)
    now = lab.current().mode
    from gaudi_lab.workbench.travelling import go_over

    go_over(bridge.environment_for(wanted.is_lazy), f"{now} → {wanted}", mode=wanted, drop=drop, rerun=rerun)
    # Asked for by a click, the process is replaced when that has been dealt with.
    return ChangeHandle(lambda: None, Change(now, now, emulated=bridge.identity().emulated))


def relaunch(
    environment: Mapping[str, str | None] | None = None,
    *,
    drop: Sequence[str] = (),
    rerun: Sequence[str] = (),
) -> None:
    """Replace the kernel's process by a fresh one that has the notebook in it. In a notebook: `%gaudi_relaunch`.

    Variables, attached models with their switches, widgets, the random state and what cells are waiting come along. It
    is a line of its own in a cell; the lines below it run in the new process. Before anything is given up, a child
    process has read it all.

    Parameters
    ----------
    environment
        Variables for the new process, such as those that a bridge reads when it loads; None takes one away.
    drop
        Names to give up: what cannot travel, such as an open socket, otherwise stops it all.
    rerun
        Names to make anew there, by running the cell again that bound them, if what that reads has not changed since.

    Raises
    ------
    LabError
        Outside of a kernel, in the middle of a statement, or if something cannot travel; it says what and why. Nothing
        has changed.

    Examples
    --------
    >>> gaudi_lab.relaunch({"PT_HPU_ENABLE_LAZY_COLLECTIVES": "true"})
    """
    from gaudi_lab.workbench.travelling import go_over

    environment = environment or {}
    title = ", ".join(
        f"{name}={value}" if value is not None else f"no {name}" for name, value in environment.items()
    )
    go_over(environment, title or "relaunched", drop=drop, rerun=rerun)


def restore(
    path: str | Path | None = None, *, names: Collection[str] | None = None, replace: bool = False
) -> None:
    """Bind again what a relaunch has saved: names that were dropped, or a notebook that did not arrive.

    The last snapshot is kept until the next relaunch or the end of the kernel. Prints what came.

    Parameters
    ----------
    path
        The snapshot, as the relaunch has told; by default this process's last one, else the newest that no process
        came for.
    names
        Only these names, with those that share objects with them. None for all, with the switches of the models.
    replace
        Whether names that are bound to something else may be bound anew.

    Raises
    ------
    LabError
        There is none, it is another user's, or a name is not in it or would be bound anew. Nothing has changed.
    """
    from gaudi_lab.workbench.travelling import bring_back

    print("\n".join(bring_back(path, names, replace_bound=replace)))  # noqa: T201 - said where it was asked for


def apply(settings: Settings) -> ChangeHandle:
    """Put all switches of all attached models into one position.

    Parameters
    ----------
    settings
        Where to put them, such as `Settings(Mode.LAZY, hpu_graphs=True)`.

    Raises
    ------
    LabError
        If it cannot be done. Nothing has changed then.
    """
    return lab.current().apply(settings)


def attach(model: Any, name: str | None = None) -> ChangeHandle:
    """Put a model on the workbench. In a notebook: `%gaudi_attach model`.

    Parameters
    ----------
    model
        A torch module, transformers Trainer or diffusers pipeline, on `hpu`.
    name
        What to call it; by default after its class.

    Returns
    -------
    ChangeHandle
        Removing it detaches the model.

    Raises
    ------
    LabError
        If it is no model or not on `hpu`.
    """
    handle = lab.current().attach(model, name)
    lab.current().kept_off.discard(model)
    return handle


def detach(model: Any) -> Change:
    """Take a model off the workbench, as it was before. In a notebook: `%gaudi_attach --detach model`.

    It stays off until it is named again: magics that find models by themselves pass it over.

    Parameters
    ----------
    model
        The model or its name.

    Raises
    ------
    LabError
        If it is not attached.
    """
    name = _name(model)
    lab.current().kept_off.add(lab.current().get(name).model)
    return lab.current().detach(name)


def hpu_graphs(model: Any = None, on: bool = True, *, verify: bool | None = None) -> ChangeHandle:
    """Capture each model's forward once per input shape, then replay it. In a notebook: `%gaudi_graphs on`.

    HPU graphs exist in lazy mode. A replay writes into the same output tensors each time: clone what you
    keep from one call to the next. Calls that a graph cannot hold run without one, such as those with a growing
    cache, and a warning and the status say why.

    Parameters
    ----------
    model
        A model or its name; attached if it is not yet. None for all attached models.
    on
        False takes them off.
    verify
        Compare the first replays of each graph with a plain call, and do without the graph if they differ.

    Raises
    ------
    LabError
        Outside lazy mode, or if there is no such model. Nothing has changed.
    """
    return _switch(HPU_GRAPHS, model, on, verify=verify)


def fused_sdpa(
    model: Any = None, on: bool = True, *, recompute: bool | None = None, softmax: Softmax | None = None
) -> ChangeHandle:
    """Compute attention with the bridge's FusedSDPA kernel. In a notebook: `%gaudi_sdpa on`.

    Parameters
    ----------
    model
        A model or its name; attached if it is not yet. None for all attached models.
    on
        False goes back to the model's own attention.
    recompute
        Do not store the attention matrix. None leaves the bridge's default.
    softmax
        "fast" or "fp32", for bfloat16. None leaves the bridge's default.

    Raises
    ------
    LabError
        If there is no such model, or no attention in it that can be switched. Nothing has changed.
    """
    return _switch(FUSED_SDPA, model, on, recompute=recompute, softmax=softmax)


def compile(  # noqa: A001 - the field's name for it
    model: Any = None,
    on: bool = True,
    *,
    dynamic: Dynamic | None = None,
    backend_options: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
) -> ChangeHandle:
    """Compile calls of a model in place with `torch.compile`. In a notebook: `%gaudi_compile on`.

    Parameters
    ----------
    model
        A model or its name; attached if it is not yet. None for all attached models.
    on
        False takes it off.
    dynamic
        True takes sizes for symbols from the start; "auto", which is torch's own default, once they have changed. None
        and False compile for each size.
    backend_options
        Options of `hpu_backend` by name, such as `{"force_static_compile": True}`. None leaves the bridge's own.

    Raises
    ------
    LabError
        In lazy mode, or if there is no such model or option. Nothing has changed.
    """
    return _switch(COMPILE, model, on, dynamic=dynamic, backend_options=backend_options)


def operators(model: Any = None, *, measure: bool = True) -> Operators:
    """Show Gaudi's fused operators, where in a model each could stand in, and what it saves there.

    What an operator saves is measured by running the model as it was last called, with the operator and without. In a
    notebook: `%gaudi_ops [model]`.

    Parameters
    ----------
    model
        A model or its name; attached if it is not yet. None for all attached models.
    measure
        False does not run the model: then nothing new is established or measured.

    Examples
    --------
    >>> model(**batch)
    >>> gaudi_lab.operators(model)["rms_norm"].saving.operators
    """
    with nullcontext() if model is None else _attached(model) as names:
        found = lab.current().operators(names, measure=measure)
    # Whoever has an operator of his own has loaded this.
    define = sys.modules.get("gaudi_lab.custom_ops.define")
    return found if define is None else replace(found, own=tuple(map(str, define.listing())))


def use_operator(name: str, model: Any = None, on: bool = True, *, inputs: Any = None) -> ChangeHandle:
    """Let one of Gaudi's fused operators stand in for parts of a model. In a notebook: `%gaudi_ops on rms_norm`.

    The parts are recognised by what they compute: on the model's own inputs, and on random ones of three shapes and
    two dtypes, module and operator must both give the exact result within the rounding of the dtype. The change says
    by how much the outputs differ. A later call that does not suit the operator runs as before; the status says why.

    Parameters
    ----------
    name
        As `gaudi_lab.operators()` lists them, such as "rms_norm", "rotary", "softmax" or "fused_sdpa".
    model
        A model or its name; attached if it is not yet. None for all that are attached now.
    on
        False takes it off.
    inputs
        What to call the model with to find out: arguments by name, a tuple of arguments, or one. None for what it was
        last called with.

    Raises
    ------
    LabError
        If it was established nowhere that results stay the same, or there is no such model or operator. Nothing has
        changed.
    """
    from gaudi_lab.instruments.fused_operators import catalogue

    names = [FUSED_SDPA.name, *(operator.name for operator in catalogue.list_operators())]
    if name not in names:
        raise catalogue.unknown(name, names, on=on)
    if inputs is not None and model is None:
        raise LabValueError(
            "inputs are those of one model, and none is named.",
            python=f'gaudi_lab.use_operator("{name}", model, inputs=batch)',
        )
    with _attached(model) as models, ExitStack() as undo:
        if models is not None and inputs is not None:
            undo.callback(lab.current().get(models[0]).give_inputs(inputs).remove)
        if name == FUSED_SDPA.name:
            handle = _compare_attention(models, on)
        else:
            handle = lab.current().change(models, **OPERATORS.turn_one(name, on))
        undo.pop_all()
    return handle


def _compare_attention(models: list[str] | None, on: bool) -> ChangeHandle:
    """Switch FusedSDPA, and say of models that it goes on by how much their outputs differ."""
    workbench = lab.current()
    chosen = [workbench.get(name) for name in (workbench.models if models is None else models)]
    moved = [one for one in chosen if on and one.has_attention and not one.settings.fused_sdpa]
    with workbench.compiles.tried_by("fused_sdpa"):
        before = {one: outputs for one in moved if (outputs := one.outputs())}
        handle = workbench.switch(FUSED_SDPA, on, models)
        try:
            told = [one.compare_attention(outputs) for one, outputs in before.items()]
        except BaseException:
            handle.remove()
            raise
    handle.change = replace(handle.change, notes=(*handle.change.notes, *told))
    return handle


def status() -> Status:
    """Describe mode, bridge, attached models, compiles and memory. In a notebook: `%gaudi_status`."""
    return lab.current().status()


def warmup(
    function: Callable[..., Any],
    n: int = 5,
    *,
    until_steady: bool = False,
    over: Iterable[Any] | None = None,
    on_iteration: Callable[[Iteration], None] | None = None,
) -> Timeline:
    """Run something repeatedly and see what each run compiled and why. In a notebook: `%%gaudi_warmup`.

    Parameters
    ----------
    function
        What to run; called without arguments, or with each item of `over`.
    n
        How many times; with `until_steady` at least so many. With `over`, how many times through it.
    until_steady
        Go on until nothing was compiled, captured or new three times in a row.
    over
        Inputs to call `function` with, such as the batches of a data set; one an iteration.
    on_iteration
        Called with each iteration as it ends.

    Returns
    -------
    Timeline
        One entry an iteration; all times in seconds.

    Examples
    --------
    >>> gaudi_lab.warmup(lambda: model(**batch))
    >>> gaudi_lab.warmup(embed, n=2, over=batches).steady_median
    """
    watching = recorder.Recorder(lab.current().watch(), on_iteration=on_iteration)
    return recorder.run(function, watching, n=n, until_steady=until_steady, over=over)


def why(since: Why | None = None) -> Why:
    """Say what was compiled since a model was attached, why, what it took, and what to change.

    It also says which graphs were never found again or lie in the shadow of a newer one, and which operators ran on the
    host, outside any graph, and from which line.

    In a notebook: `%gaudi_why`.

    Parameters
    ----------
    since
        An earlier answer: only what has come on top is told then.

    Examples
    --------
    >>> before = gaudi_lab.why()
    >>> model(**batch)
    >>> gaudi_lab.why(since=before).to_frame()
    """
    # Whoever has something to be told of has torch. Before that it stays out.
    watching = sys.modules.get("gaudi_lab.measure.causes.watching")
    identity = bridge.identity()
    costs = watching.watching.history.costs if watching is not None else ()
    complete = identity.emulated or not (bridge.loaded() and bridge.is_lazy())
    if identity.emulated:
        on_host = watching.watching.fallbacks.runs if watching is not None else ()
    else:
        on_host = fallbacks.of_counters(bridge.counters().fallback_operators)
    graphs = watching.watching.uses.read() if watching is not None else ()
    found = Why(costs, identity.emulated, complete, on_host, graphs)
    return found.since(since) if since is not None else found


def forecast(
    batches: Any, model: Any = None, *, most: int = 1000, epochs: int = 1, multiple_of: int = 1
) -> Forecast:
    """Say what batches will make a model compile, what that will take, and which lengths to pad to instead.

    The model does not run, and what the batches draw at random will be drawn again. In a notebook:
    `%gaudi_forecast loader model`.

    Parameters
    ----------
    batches
        A DataLoader; or a list of batches, or of sizes such as `(8, 128)` or `{"input_ids": (8, 128)}`.
    model
        A torch module, a Trainer, or the name of an attached model; the attached one if there is only one. What was
        measured for it is known if it is attached.
    most
        So many batches are read.
    epochs
        How often the batches will be gone through: what padding costs is paid each time.
    multiple_of
        What every length to pad to is a multiple of.

    Returns
    -------
    Forecast
        Its `collator()` pads, its `plot()` draws the trade, its `outcome()` says what happened since.

    Raises
    ------
    LabError
        If the batches can be read only once, or which model is meant is not clear.

    Examples
    --------
    >>> gaudi_lab.warmup(lambda batch: model(**batch), n=3, over=batches[:2])  # what a compile and a call take
    >>> forecast = gaudi_lab.forecast(loader, model, epochs=3)
    >>> trainer = Trainer(model, arguments, data_collator=forecast.collator(tokenizer))
    """
    from gaudi_lab.instruments import components
    from gaudi_lab.measure.forecasting import make_forecast

    workbench = lab.current()
    if model is None:
        if len(workbench.models) != 1:
            attached = ", ".join(workbench.models) or "none"
            raise LabError(
                f"Which model the batches are for is not clear; attached: {attached}.",
                python="gaudi_lab.forecast(batches, model)",
                magic="%gaudi_forecast loader model",
            )
        model = next(iter(workbench.models))
    entry = workbench.get(model) if isinstance(model, str) else workbench.find(model)
    parts = components.of(entry.model if entry is not None else model)
    if len(parts) != 1:
        raise LabError(
            f"A {type(entry.model if entry is not None else model).__name__} has several models, each with batches of "
            f"its own: {', '.join(parts)}.",
            python=f"gaudi_lab.forecast(batches, pipeline.{next(iter(parts))})",
        )
    (module,) = parts.values()
    return make_forecast(
        batches,
        module,
        name=entry.name if entry is not None else type(module).__name__,
        switches=entry.settings if entry is not None else workbench.settings,
        settings=workbench.watch().settings,
        emulated=bridge.identity().emulated,
        most=most,
        epochs=epochs,
        multiple_of=multiple_of,
    )


def compare(
    what: Any,
    inputs: Any = None,
    *,
    settings: Iterable[Settings | str] | None = None,
    over: Mapping[str, Sequence[Any]] | None = None,
    rounds: int | None = None,
    calls: int | None = None,
    tolerance: float | None = None,
    limit: str | float | None = None,
    method: str | None = None,
    path: str | Path | None = None,
    resume: str | Path | Comparison | None = None,
    quiet: bool = False,
) -> Comparison:
    """Say which settings win, by how much, and from how many calls on. In a notebook: `%gaudi_compare model(**batch)`.

    Outputs are compared with those of the first settings before anything is timed; what gives other results is not
    timed. What can be moved in this process is tried there, the settings in turn; what is decided when the bridge loads
    is tried in processes of their own, with cold warm-ups. An interrupt returns what is there.

    Parameters
    ----------
    what
        A model, Trainer (`trainer` or `trainer.evaluate`), pipeline, or function. Functions run with the switches of
        all attached models.
    inputs
        What it is called with: a dict or `BatchEncoding` of arguments by name, a tuple of arguments, or one.
    settings
        What to try, as `Settings` or as they show themselves: "lazy + HPU graphs". The first is what the others are
        measured by. None for all there are.
    over
        What else to vary, each with its values: `batch_size`, `dtype` (autocast), arguments of a function, and
        `environment`, dicts of variables.
    rounds, calls
        How many turns each has, and how many steady calls of each are timed.
    tolerance
        How far outputs may be from the first, in parts of the largest number. None for 0.001, and 0.03 for types of 16
        bits. Tokens have to be equal.
    limit
        What it may take: time and disk for all of it ("20 min", "4 GiB", or "20 min, 4 GiB"), and "90 s a turn", which
        may also be a number, for one turn of one setting. One that takes longer costs its row; at the end of the others
        it stops with the rows that there are, and `resume` goes on.
    method
        "resident", "fresh", or "ray" for tasks of Ray on whatever machine of a cluster has a free HPU; None chooses
        one of the first two.
    path
        A file to which JSON lines are written as it goes.
    resume
        Such a file, or a comparison that was interrupted: only what is missing is measured.
    quiet
        Show neither estimate nor progress.

    Returns
    -------
    Comparison
        A row a setting; its `best()` wins, `plot()` draws, `to_code()` writes a script.

    Raises
    ------
    LabError
        If it cannot be tried so. Nothing has changed. What a setting itself raises is in its row.

    Examples
    --------
    >>> comparison = gaudi_lab.compare(model, batch, over={"batch_size": [1, 8]})
    >>> comparison.best(calls=5000)
    """
    from gaudi_lab.instruments.last_inputs import read_inputs
    from gaudi_lab.workbench import comparing
    from gaudi_lab.workbench.subjects import make_subject

    args, kwargs = read_inputs(inputs)
    return comparing.compare(
        make_subject(what, args, kwargs),
        settings,
        over or {},
        rounds=rounds,
        calls=calls,
        tolerance=tolerance,
        limit=limit,
        method=method,
        path=path,
        resume=resume,
        quiet=quiet,
    )


def open_comparison(path: str | Path) -> Comparison:
    """Return a comparison that was saved, or written as it went.

    Raises
    ------
    LabError
        It is no such file.
    """
    from gaudi_lab.comparison import folding

    return folding.open_comparison(path)


def freeze(on: bool = True) -> None:
    """Forbid compiling, or allow it again: what would compile raises, with its cause.

    In a notebook: `%gaudi_freeze [on|off]`. Models stay as they are. Intel's bridge says nothing before it compiles a
    recorded program; what torch.compile and HPU graphs would do is stopped there too.

    Parameters
    ----------
    on
        False to allow it again.
    """
    lab.current().compiles.freeze(on)


def live_line(on: bool = True) -> None:
    """Show a line while something compiles longer than a second, or do not. It is shown unless you say so.

    In a notebook: `%gaudi_live_line [on|off]`. `GAUDI_LAB_LIVE_LINE=0` in the environment is off from the start.

    Parameters
    ----------
    on
        False to show it no more. A line that is there says once more what it took.
    """
    lab.current().compiles.live_line(on)


@contextmanager
def no_compiles() -> Iterator[None]:
    """Forbid compiling meanwhile, for tests and for what must not wait.

    Raises
    ------
    gaudi_lab.measure.causes.freeze.Frozen
        Something would have been compiled; it says why, and what to change.

    Examples
    --------
    >>> with gaudi_lab.no_compiles():
    ...     model(**batch)
    """
    from gaudi_lab.measure.causes import freeze

    with freeze.freeze():
        yield


def _switch(switch: Switch, model: Any, on: bool, **options: Any) -> ChangeHandle:
    with _attached(model) as names:
        return lab.current().switch(switch, on, names, **options)


@contextmanager
def _attached(model: Any) -> Iterator[list[str] | None]:
    """Yield the name of a model, None for all there are. If it was attached for that, an error takes it off again."""
    workbench = lab.current()
    if model is None and not workbench.models:
        raise LabError("No model is attached.", python="gaudi_lab.attach(model)", magic="%gaudi_attach model")
    if model is None or isinstance(model, str) or workbench.find(model) is not None:
        yield None if model is None else [_name(model)]
        return
    was_kept_off = model in workbench.kept_off
    attached = attach(model)
    try:
        yield [_name(model)]
    except BaseException:
        attached.remove()
        if was_kept_off:
            workbench.kept_off.add(model)
        raise


def attached_name(model: Any) -> str:
    """Return what a model is called on the workbench, attaching it if it is not there yet; a name is checked."""
    workbench = lab.current()
    if isinstance(model, str):
        return workbench.get(model).name
    if workbench.find(model) is None:
        attach(model)
    return _name(model)


def _name(model: Any) -> str:
    workbench = lab.current()
    attached = workbench.get(model) if isinstance(model, str) else workbench.find(model)
    if attached is None:
        raise LabError(
            f"This {type(model).__name__} is not attached.",
            python="gaudi_lab.attach(model)",
            magic="%gaudi_attach model",
        )
    return attached.name
