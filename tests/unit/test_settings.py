import pytest

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.settings import Mode, Settings, combinations


def test_graphs_need_lazy_mode_and_nothing_else_is_forbidden():
    valid = {(s.mode, s.hpu_graphs, s.fused_sdpa) for s in combinations()}
    every = {(m, g, f) for m in Mode for g in (False, True) for f in (False, True)}
    assert valid == {(m, g, f) for m, g, f in every if not g or m is Mode.LAZY}


@pytest.mark.parametrize("mode", [Mode.EAGER, Mode.COMPILE])
def test_graphs_outside_lazy_mode_name_the_line_to_run(mode):
    with pytest.raises(LabError) as caught:
        Settings(mode, hpu_graphs=True).check()
    assert str(caught.value).endswith('Run: gaudi_lab.mode("lazy")')
    assert caught.value.for_notebook().endswith("Run: %gaudi_mode lazy")


def test_options_of_a_kernel_that_is_off_are_refused():
    with pytest.raises(LabValueError, match="FusedSDPA is off"):
        Settings(recompute=True).check()
    with pytest.raises(LabValueError, match="'fp8' is not a softmax mode"):
        Settings(fused_sdpa=True, softmax="fp8").check()


def test_a_mode_that_does_not_exist_lists_those_that_do():
    with pytest.raises(LabValueError, match="there are lazy, eager, compile"):
        Mode.parse("lzy")
    assert Mode.parse("lazy") is Mode.LAZY


def test_going_to_a_mode_leaves_behind_what_does_not_exist_there():
    everything = Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True)
    assert everything.in_mode(Mode.EAGER) == Settings(Mode.EAGER, fused_sdpa=True)
    assert everything.in_mode(Mode.LAZY) == everything


def test_settings_read_as_people_say_them():
    assert str(Settings()) == "eager"
    settings = Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True, recompute=True, softmax="fast")
    assert str(settings) == "lazy + HPU graphs + FusedSDPA (recompute, softmax fast)"


def test_options_of_torch_compile_are_told_behind_the_mode_and_go_with_it():
    settings = Settings(
        Mode.COMPILE, dynamic="auto", backend_options={"inference": False, "enable_sfg": True}
    )
    assert str(settings) == "compile (auto dynamic, enable_sfg=True, inference=False)"
    assert (
        settings.in_mode(Mode.EAGER) == settings.in_process(lazy=True).replace(mode=Mode.EAGER) == Settings()
    )
    assert settings.move({"mode": Mode.EAGER}) == Settings()
    assert Settings().move({"mode": Mode.EAGER}).move_back({"mode": Mode.COMPILE}, settings) == settings
    with pytest.raises(LabValueError, match="compile is off"):
        Settings(Mode.LAZY, dynamic=True).check()
    with pytest.raises(LabValueError, match="'often' is not a dynamic mode; there are True, False, auto"):
        Settings(Mode.COMPILE, dynamic="often").check()
    for given in ("inference", 3, [("inference",)]):
        with pytest.raises(LabValueError, match="backend_options are values by name"):
            Settings(Mode.COMPILE, backend_options=given).check()


def test_settings_take_the_name_of_a_mode():
    assert Settings("lazy", hpu_graphs=True) == Settings(Mode.LAZY, hpu_graphs=True)
    assert Settings("lazy").mode is Mode.LAZY
    with pytest.raises(LabValueError, match="there are lazy, eager, compile"):
        Settings("Lazy")
