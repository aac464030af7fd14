"""Who is on a GPU: told when it changes, read back from the log, and no noise while it stays."""

from __future__ import annotations

from infertop.sessions import company
from infertop.sessions.records import Event
from infertop.sessions.state import SessionState
from infertop.sessions.view import Company, Tenant
from infertop.telemetry.tenants import GpuProcess, Tenants
from infertop.tests.sessions import synthetic

WORKER = GpuProcess(10, "python", 1 << 30, True)
OTHER = GpuProcess(7, "trainer", 20 << 30, False)


def test_only_news_is_told_and_a_sentence_is_of_others_alone() -> None:
    watch = company.Watch()
    first = watch.change({"gpu0": Tenants((WORKER,), "")})
    assert first is not None
    assert first[0] == "", "our own worker is nothing to say to a person"
    assert watch.change({"gpu0": Tenants((WORKER,), "")}) is None
    grown = GpuProcess(10, "python", (1 << 30) + 100_000_000, True)
    assert watch.change({"gpu0": Tenants((grown,), "")}) is None, "memory that hardly moves is no news"
    came = watch.change({"gpu0": Tenants((OTHER, grown), "")})
    assert came is not None
    assert came[0] == "GPU 0: trainer (21.5 GB) is there too"
    doubled = GpuProcess(7, "trainer", 40 << 30, False)
    more = watch.change({"gpu0": Tenants((doubled, grown), "")})
    assert more is not None
    assert more[0] == ""
    gone = watch.change({"gpu0": Tenants((grown,), ""), "gpu1": Tenants((), "")})
    assert gone is not None
    assert gone[0] == "GPU 0: nobody else is there any more"
    assert set(gone[1]["gpus"]) == {"gpu0", "gpu1"}


def test_what_was_told_is_in_the_picture() -> None:
    state = SessionState()
    state.apply(synthetic.header())
    assert state.view().company == {}
    watch = company.Watch()
    for t, found in enumerate((Tenants((WORKER,), ""), Tenants((OTHER, WORKER), "it is a container"))):
        news = watch.change({"gpu0": found})
        assert news is not None
        state.apply(Event(t=t, kind=company.KIND, text=news[0], data=news[1]))
    view = state.view()
    assert view.company == {
        "gpu0": Company(
            (Tenant(7, "trainer", 20 << 30, False), Tenant(10, "python", 1 << 30, True)), "it is a container"
        )
    }
    assert [event.text for event in view.events] == ["GPU 0: trainer (21.5 GB) is there"]


def test_many_processes_are_told_the_largest_first() -> None:
    crowd = Tenants(tuple(GpuProcess(pid, "p", pid << 20, False) for pid in range(1, 200)), "")
    news = company.Watch().change({"gpu0": crowd})
    assert news is not None
    assert news[0].endswith("and 196 more are there too")
    told = company.read(news[1])["gpu0"].tenants
    assert len(told) == company.MOST
    assert told[0].pid == 199


def test_data_of_another_form_is_nobody() -> None:
    assert company.read({}) == company.read({"gpus": [1]}) == company.read({"gpus": {"gpu0": None}}) == {}
    odd = company.read({"gpus": {"gpu0": {"processes": [{"pid": "x", "memory": "y"}, 3]}}})
    assert odd["gpu0"].tenants == (Tenant(0, "", None, False),)
