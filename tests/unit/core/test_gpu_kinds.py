"""Jobs that ask for a kind of GPU: which nodes suit, which GPUs they get, and why they wait."""

from __future__ import annotations

import time

import pytest

from core_kit import Lab
from distribute.core.explaining.explain import explain
from distribute.core.log import events as ev
from distribute.core.scheduling.gpu_work import keeps_from
from distribute.core.scheduling.matching import NOTHING_HELD, Held, grant, lack, never
from distribute.core.spec.gpu_kind import GpuKind, check_model, gpus_in_words, suitable
from distribute.core.spec.specs import GpuKind as Asked
from distribute.core.spec.specs import Resources
from distribute.core.state.state import NodeState, Shape
from distribute.testing import builders as make

GIB = 1 << 30
NAMES = ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce GT 710", "NVIDIA A100-SXM4-80GB")
SIZES = (24 * GIB, 2 * GIB, 80 * GIB)
MIXED = make.joined(gpus=NAMES, gpu_memory_bytes=SIZES)


def node(gpus: tuple[str, ...] = NAMES, sizes: tuple[int, ...] = SIZES) -> NodeState:
    return make.happen(make.joined(gpus=gpus, gpu_memory_bytes=sizes)).nodes["ws1"]


def shape(count: int = 1, model: str = "", memory_bytes: int = 0) -> Shape:
    kind = Asked(memory_bytes=memory_bytes, model=model)
    return Shape.of(frozenset(), Resources(cpus=1, gpus=count, gpu_kind=kind))


@pytest.mark.parametrize(
    ("model", "memory_bytes", "indices"),
    [
        ("", 0, (1, 0, 2)),
        ("RTX.*", 0, (0,)),
        ("rtx 30[0-9]0", 0, (0,)),
        ("A100|GT", 0, (1, 2)),
        ("^RTX", 0, ()),
        ("", 20 * GIB, (0, 2)),
        ("", 81 * GIB, (2,)),
        ("RTX.*", 40 * GIB, ()),
    ],
)
def test_gpus_suit_by_a_part_of_their_name_and_by_their_memory(
    model: str, memory_bytes: int, indices: tuple[int, ...]
) -> None:
    assert suitable(NAMES, SIZES, GpuKind(memory_bytes, model)) == indices, "the smallest come first"


@pytest.mark.parametrize(
    ("sold_with", "mib"), [(24, 24564), (24, 22731), (80, 81559), (16, 15360), (40, 40960), (48, 45634)]
)
def test_a_gpu_has_the_memory_that_it_is_sold_with(sold_with: int, mib: int) -> None:
    """The figures of NVML for an RTX 4090, an A10G, an H100, a T4, an A100 and an A40."""
    assert suitable(("gpu",), (mib << 20,), GpuKind(sold_with * GIB)) == (0,)
    assert suitable(("gpu",), (mib << 20,), GpuKind(sold_with * GIB * 5 // 4)) == ()


def test_memory_that_is_unknown_suits_only_who_asks_for_none() -> None:
    assert suitable(NAMES, (), GpuKind(1)) == ()
    assert suitable(NAMES, (), GpuKind(0, "A100")) == (2,)


@pytest.mark.parametrize("model", ["(a", "[", "*", "(?=x)", r"(a)\1", "((a{99}){99}){99}"])
def test_what_is_no_expression_is_refused(model: str) -> None:
    with pytest.raises(ValueError):
        check_model(model)


def test_an_expression_takes_linear_time() -> None:
    began = time.process_time()
    assert suitable(("a" * 127 + "!",), (), GpuKind(0, "(a+)+$")) == ()
    assert time.process_time() - began < 10


def test_a_node_without_enough_suitable_gpus_never_fits() -> None:
    assert never(node(), shape(1, "RTX")) is None
    obstacle = never(node(), shape(2, "RTX"))
    assert obstacle is not None
    assert obstacle.name == "GPUS"
    assert never(node(), shape(2, "RTX|A100")) is None


def test_the_smallest_gpu_that_suits_is_given() -> None:
    assert grant(node(), shape(1), NOTHING_HELD)[2] == (1,)
    assert grant(node(), Shape(frozenset(), 1, 0, 2), NOTHING_HELD)[2] == (0, 1)
    assert grant(node(), shape(1, memory_bytes=20 * GIB), NOTHING_HELD)[2] == (0,)
    assert grant(node(), shape(1, memory_bytes=20 * GIB), Held(gpus={0}))[2] == (2,)


def test_a_gpu_in_use_is_lacking() -> None:
    held = Held(gpus={0})
    assert lack(node(), shape(1, "RTX"), NOTHING_HELD)[0] == 0
    assert lack(node(), shape(1, "RTX"), held)[0] == 1
    assert lack(node(), shape(1, "A100"), held)[0] == 0


def test_jobs_get_gpus_of_their_kind() -> None:
    jobs = [
        make.job("large", resources=Resources(gpus=1, gpu_kind=Asked(memory_bytes=40 * GIB))),
        make.job("rtx", resources=Resources(gpus=1, gpu_kind=Asked(model="RTX"))),
        make.job("any", resources=Resources(gpus=1)),
        make.job("late", resources=Resources(gpus=1, gpu_kind=Asked(model="RTX"))),
    ]
    lab = Lab(MIXED, make.submitted(make.batch(jobs, resources=None)))
    given = {event.job: event.gpus for event in lab.decide() if isinstance(event, ev.Assigned)}
    assert given == {"large": (2,), "rtx": (0,), "any": (1,)}


def test_a_node_keeps_no_more_for_waiting_work_than_its_suitable_gpus_can_do() -> None:
    rtx = Resources(cpus=2, gpus=1, gpu_kind=Asked(model="RTX"))
    plain = Resources(cpus=1, gpus=1)
    jobs = [make.job("a", resources=rtx), make.job("b", resources=rtx), make.job("c", resources=plain)]
    lab = Lab(MIXED, make.submitted(make.batch([*jobs, make.job("d", resources=plain)])))
    kept = keeps_from(lab.agenda, lab.state.nodes["ws1"], Shape(frozenset(), 1), 0)
    assert (kept.jobs, kept.cpus) == (3, 4), "one job of two for the RTX, and two for the other GPUs"


def test_a_job_that_waits_is_told_which_gpus_it_asked_for() -> None:
    asked = Resources(gpus=2, gpu_kind=Asked(memory_bytes=20 * GIB, model="RTX.*"))
    jobs = [make.job("a", resources=asked)]
    lab = Lab(MIXED, make.submitted(make.batch(jobs, resources=None)))
    (verdict,) = explain(lab.agenda, lab.batch(), 0).nodes
    assert verdict.text == "has too few GPUs: 1, of 2 GPUs (RTX.*, 20G) needed"


def test_kinds_in_words() -> None:
    assert gpus_in_words(1, None) == "1 GPU"
    assert gpus_in_words(2, GpuKind(0, "A100")) == "2 GPUs (A100)"
