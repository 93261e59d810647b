"""Many kinds of objects: each comes back as it was, or is refused with its reason. Nothing in between."""

from __future__ import annotations

from typing import NamedTuple

import pytest


class Kind(NamedTuple):
    source: str  # binds `NAME`
    probe: str  # the same in both processes; `x` is the object


class Refused(NamedTuple):
    source: str
    why: str  # with `NAME` for the name


PLAIN = {
    "text": Kind("NAME = 'ä\\udcff' * 3", "x"),
    "numbers": Kind("NAME = [1, -2**80, 1.5, float('nan'), -0.0, 2j, True]", "x"),
    "nothing": Kind("NAME = (None, ..., NotImplemented)", "x"),
    "containers": Kind("NAME = {'a': [1, (2, {3})], 5: frozenset({1})}", "x"),
    "itself": Kind("NAME = []; NAME.append(NAME)", "x[0] is x"),
    "counted": Kind("import collections as c_; NAME = c_.Counter('abca')", "x"),
    "ordered": Kind("NAME = c_.OrderedDict(b=1, a=2)", "x"),
    "default": Kind("NAME = c_.defaultdict(list, a=[1])", "x['new'], x"),
    "queue": Kind("NAME = c_.deque([1, 2], maxlen=3)", "x"),
    "chain": Kind("NAME = c_.ChainMap({1: 2}, {3: 4})", "x"),
    "keys": Kind("NAME = ordered.keys()", "list(x), ordered.update(z=1), list(x)"),
    "proxy": Kind("import types as t_; NAME = t_.MappingProxyType({1: 2})", "x"),
    "space": Kind("NAME = t_.SimpleNamespace(a=1)", "x"),
    "module": Kind("import os.path as NAME", "x.__name__, x.join('a', 'b')"),
    "own_module": Kind("NAME = t_.ModuleType('mine'); NAME.a = 4", "x.__name__, x.a"),
    "function": Kind(
        "free = 3\ndef NAME(a, *, b=2, **k) -> int:\n    'doc'\n    return a + b + free",
        "x(1), x.__doc__, x.__kwdefaults__, x.__annotations__",
    ),
    "attributes": Kind("def NAME(): pass\nNAME.mark = [1]", "x.mark"),
    "lambda": Kind("NAME = lambda a, b=[1]: (a, b)", "x(3)"),
    "closure": Kind("def outer_():\n    n = [5]\n    return lambda: n\nNAME = outer_()", "x()"),
    "recursive": Kind(
        "def made_():\n    def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\n    return f\nNAME = made_()",
        "x(9)",
    ),
    "generator_function": Kind("def NAME():\n    yield 1", "list(x())"),
    "coroutine_function": Kind("async def NAME():\n    return 1", "__import__('asyncio').run(x())"),
    "code": Kind("NAME = compile('1 + 2', 'a', 'eval')", "eval(x)"),
    "partial": Kind("import functools as f_; NAME = f_.partial(max, 3, key=abs)", "x(-5)"),
    "method": Kind("NAME = [3, 1].index", "x(1)"),
    "builtin": Kind(
        "NAME = (len, print, dict.fromkeys, str.upper)", "[f.__qualname__ for f in x], x[2]('a')"
    ),
    "random_function": Kind("import random as r_; NAME = r_.randint", "x.__self__ is r_._inst"),
    "generator_of_random": Kind("NAME = r_.Random(5); NAME.random()", "x.random()"),
    "operator": Kind(
        "import operator as o_; NAME = (o_.itemgetter(1), o_.attrgetter('a.b'), o_.methodcaller('f', 1))", "x"
    ),
    "class": Kind(
        "class NAME:\n    'doc'\n    a = 1\n    def f(self): return __class__\n    @property\n    def p(self): return self.a\n    @classmethod\n    def c(cls): return cls\n    @staticmethod\n    def s(): return 4",
        "x.__qualname__, x().f() is x, x().p, x.c() is x, x.s(), x.__doc__",
    ),
    "object": Kind("NAME = VALUES_['class'](); NAME.b = 2", "x.b, vars(x)"),
    "inherits": Kind(
        "class base_:\n    def __init__(self): self.v = 1\nclass NAME(base_):\n    def __init__(self): super().__init__()",
        "x().v",
    ),
    "local_class": Kind(
        "def local_():\n    class Inner: pass\n    return Inner\nNAME = local_()", "x.__qualname__"
    ),
    "slots": Kind(
        "class slotted_:\n    __slots__ = ('a', 'b')\nNAME = slotted_(); NAME.a = 1", "x.a, hasattr(x, 'b')"
    ),
    "cached_property": Kind(
        "class cached_:\n    n = 0\n    @f_.cached_property\n    def p(self): cached_.n += 1; return 7\nNAME = cached_(); NAME.p",
        "x.p, x.p, cached_.n",
    ),
    "abstract": Kind(
        "import abc as a_\nclass NAME(a_.ABC):\n    @a_.abstractmethod\n    def f(self): ...\nNAME.register(int)",
        "sorted(x.__abstractmethods__), isinstance(3, x)",
    ),
    "metaclass": Kind(
        "class meta_(type):\n    def __call__(cls): return 8\nclass NAME(metaclass=meta_): pass", "x()"
    ),
    "data": Kind(
        "import dataclasses as d_\n@d_.dataclass(order=True)\nclass data_:\n    a: int\n    b: list = d_.field(default_factory=list)\n    c: d_.InitVar[int] = 3\nNAME = data_(1, [2])",
        "x, data_(5), [f.name for f in d_.fields(x)], d_.fields(x)[0].default is d_.MISSING, x < data_(2)",
    ),
    "frozen_slots": Kind(
        "@d_.dataclass(frozen=True, slots=True)\nclass frozen_:\n    a: int = 1\nNAME = frozen_(4)",
        "x, hash(x) == hash(frozen_(4))",
    ),
    "named": Kind("NAME = c_.namedtuple('NAME', 'a b', defaults=[3])", "x(1), x(1)._replace(a=2)"),
    "typed_named": Kind(
        "import typing as ty_\nclass NAME(ty_.NamedTuple):\n    a: int\n    b: str = 'q'",
        "x(1), x._field_defaults",
    ),
    "typed_dict": Kind("class NAME(ty_.TypedDict):\n    a: int", "x(a=1), x.__required_keys__"),
    "enum": Kind(
        "import enum as e_\nclass enum_(e_.Enum):\n    A = 1\n    B = e_.auto()\nNAME = [enum_.B, enum_.A]",
        "x, x[0] is enum_.B, enum_(1) is x[1]",
    ),
    "flag": Kind(
        "class flag_(e_.Flag):\n    A = e_.auto()\n    B = e_.auto()\nNAME = flag_.A | flag_.B",
        "x, flag_.B in x",
    ),
    "generic": Kind(
        "T_ = ty_.TypeVar('T_')\nclass generic_(ty_.Generic[T_]):\n    pass\nNAME = (generic_[int], list[int], int | None, ty_.Optional[str])",
        "x",
    ),
    "exception": Kind(
        "class failed_(Exception):\n    def __init__(self, a, b): super().__init__('said'); self.b = b\nNAME = failed_(1, 2)",
        "x, x.b, x.args",
    ),
    "exceptions_with_fields": Kind(
        "class stop_(StopIteration):\n    def __init__(self, a, b): super().__init__(b)\nNAME = [UnicodeDecodeError('utf-8', b'a', 0, 1, 'bad'), SyntaxError('bad', ('f', 1, 2, 'text')), StopIteration(5), SystemExit(3), stop_(1, 2)]",
        "str(x[0]), x[1].lineno, x[2].value, x[3].code, x[4].value, x[4].args",
    ),
    "date": Kind(
        "import datetime as dt_, zoneinfo; NAME = (dt_.datetime(2026, 1, 2, tzinfo=dt_.timezone.utc), dt_.timedelta(1))",
        "x",
    ),
    "exact": Kind(
        "import decimal, fractions, uuid, pathlib, re; NAME = (decimal.Decimal('1.10'), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.Path('a/b'), re.compile('a+', re.I))",
        "x",
    ),
    "bytes": Kind("NAME = (b'\\0a', bytearray(b'b'), range(3), slice(1, 2))", "x"),
    "array": Kind("import array; NAME = array.array('d', [1.5])", "x"),
    "buffers": Kind(
        "import io; NAME = (io.StringIO('abc'), io.BytesIO(b'abc')); NAME[0].read(1)",
        "x[0].tell(), x[0].getvalue(), x[1].getvalue()",
    ),
    "iterator": Kind("NAME = iter([1, 2, 3]); next(NAME)", "next(x), next(x)"),
    "mapped": Kind("NAME = map(str, [1, 2]); next(NAME)", "list(x)"),
    "logger": Kind("import logging; NAME = logging.getLogger('a.b')", "x is logging.getLogger('a.b')"),
    "stream": Kind("import sys; NAME = sys.stderr", "x is sys.stderr"),
    "namespace": Kind("NAME = globals()", "x is globals()"),
    "weak": Kind(
        "import weakref; NAME = (VALUES_['object'], weakref.ref(VALUES_['object']), weakref.WeakSet([VALUES_['object']]))",
        "x[1]() is x[0], list(x[2]) == [x[0]]",
    ),
    "context": Kind(
        "import contextlib\n@contextlib.contextmanager\ndef NAME():\n    yield 5", "x().__enter__()"
    ),
    "single_dispatch": Kind(
        "@f_.singledispatch\ndef NAME(a): return 'any'\n@NAME.register(int)\ndef _(a): return 'int'",
        "x(1), x('')",
    ),
}

REFUSED = {
    "generator": Refused("NAME = (i for i in [1])", "NAME is a running generator"),
    "coroutine": Refused("async def later_(): pass\nNAME = later_()", "NAME is a coroutine"),
    "asynchronous": Refused(
        "async def many_():\n    yield 1\nNAME = many_()", "NAME is an asynchronous generator"
    ),
    "lock": Refused("import threading; NAME = threading.Lock()", "NAME is a lock"),
    "again": Refused("NAME = threading.RLock()", "NAME is a lock"),
    "condition": Refused("NAME = threading.Condition()", "NAME is a condition, which holds a lock"),
    "event": Refused("NAME = threading.Event()", "NAME is an event between threads, which holds a lock"),
    "thread": Refused("NAME = threading.Thread(target=print)", "NAME is a finished thread"),
    "local": Refused("NAME = threading.local()", "NAME is data of one thread"),
    "socket": Refused("import socket; NAME = socket.socket()", "NAME is a socket"),
    "process": Refused("import subprocess; NAME = subprocess.Popen(['true'])", "NAME is a child process"),
    "pool": Refused(
        "import concurrent.futures; NAME = concurrent.futures.ThreadPoolExecutor(1)",
        "NAME is a pool of processes or threads",
    ),
    "waiting": Refused(
        "import queue; NAME = queue.Queue()", "NAME is a queue between threads, which holds a lock"
    ),
    "view": Refused("NAME = memoryview(b'a')", "NAME is a memoryview"),
    "frame": Refused("import sys; NAME = sys._getframe()", "NAME is a frame of a call"),
    "database": Refused(
        "import sqlite3; NAME = sqlite3.connect(':memory:')", "NAME is a connection to a database"
    ),
    "written": Refused(
        "import tempfile; NAME = open(tempfile.mkstemp()[1], 'w')",
        "NAME is a file that is open for writing (/",
    ),
    "updated": Refused(
        "NAME = open(tempfile.mkstemp()[1], 'r+b')", "NAME is a file that is open for writing (/"
    ),
    "inside": Refused(
        "class holder_: pass\nNAME = holder_(); NAME.parts = [0, {'k': threading.Lock()}]",
        "NAME.parts[1]['k'] is a lock",
    ),
    "captured": Refused(
        "def with_lock_():\n    held = threading.Lock()\n    return lambda: held\nNAME = with_lock_()",
        "NAME (its variable held) is a lock",
    ),
    "stubborn": Refused(
        "class stubborn_:\n    def __reduce_ex__(self, p): raise ValueError('I stay here')\nNAME = stubborn_()",
        "NAME cannot be pickled: I stay here",
    ),
    "deep": Refused("NAME = []\nfor i_ in range(100_000): NAME = [NAME]", "NAME is nested too deeply"),
}


def program(kinds) -> str:
    lines = ["VALUES_ = {}"]
    for name, kind in kinds.items():
        lines.append(kind.source.replace("NAME", f"the_{name}").replace("ordered.keys", "the_ordered.keys"))
        lines.append(f"VALUES_[{name!r}] = the_{name}")
    return "\n".join([*lines, "VALUES_ = None"])


def test_each_kind_comes_back_as_it_was(carry):
    probes = {
        name: f"(lambda x, ordered=the_ordered: ({kind.probe},))(the_{name})" for name, kind in PLAIN.items()
    }
    carried = carry(program(PLAIN), probes=probes)
    assert carried.before["left"] == {}
    assert carried.after["left"] == {}
    assert carried.after["differs"] == []
    assert carried.after["not_compared"] == []
    assert carried.after["probes"] == carried.before["probes"]
    assert len(carried.after["probes"]) == len(PLAIN)


def test_what_cannot_travel_is_refused_with_its_reason_and_nothing_else_is(carry):
    carried = carry(program({**REFUSED, "fine": Kind("NAME = 1", "x")}), probes={"fine": "the_fine"})
    left = carried.before["left"]
    for name, refused in REFUSED.items():
        assert left.get(f"the_{name}", "it travels").startswith(refused.why.replace("NAME", f"the_{name}")), (
            name
        )
    assert "the_fine" in carried.after["names"]
    assert not {f"the_{name}" for name in REFUSED} & {*carried.after["names"]}


@pytest.mark.parametrize("kinds", [PLAIN, REFUSED])
def test_the_names_of_the_table_are_names(kinds):
    assert all(f"the_{name}".isidentifier() for name in kinds)
