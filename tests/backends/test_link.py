"""The rates of the link: every one is measured, from both kinds of memory, and nothing is left behind."""

from __future__ import annotations

from infertop.backends import cuda, link
from infertop.tests.backends.fake_cuda import FakeCuda

MIB = 1 << 20


def test_five_rates_are_measured_and_everything_is_given_back() -> None:
    fake = FakeCuda()
    device = cuda.Device(cuda.Driver(fake), 0)
    rates = link.measure(device, MIB, budget_ns=0)
    assert rates is not None
    assert set(rates) == {"h2d_pinned", "h2d_pageable", "d2h_pinned", "d2h_pageable", "staging"}
    assert all(1e6 < rate < 1e13 for rate in rates.values())
    copies = fake.copies()
    assert copies.count("in") == copies.count("out") == 2 * link.LEAST
    device.close()
    assert not fake.live
    assert not fake.events
    assert not fake.streams
    assert fake.contexts == 0


def test_a_full_gpu_has_no_rates_but_goes_on() -> None:
    fake = FakeCuda()
    fake.fail["cuMemAlloc_v2"] = 2
    device = cuda.Device(cuda.Driver(fake), 0)
    assert link.measure(device, MIB, budget_ns=0) is None
    device.close()
    assert not fake.live
