"""Labels, names and tokens: within Google's rules, and nothing that was said is lost."""

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from rayfleet.contracts import LaunchRequest
from rayfleet.model import Market, OfferKey, Pool, Resources
from rayfleet.providers.gcp import labels
from rayfleet.providers.gcp.names import machine_names, token

TEXTS = st.text(max_size=120)
PARTS = st.none() | st.text(alphabet=string.ascii_lowercase + string.digits + "-", min_size=1, max_size=70)
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def asked(batch: str, offer: OfferKey, claims: int = 2, hosts: int = 1) -> LaunchRequest:
    return LaunchRequest(batch, offer, Pool(offer.pool, Resources()), tuple(map(str, range(claims))), hosts)


@given(TEXTS)
def test_every_text_comes_back(text: str) -> None:
    said = labels.write("key", text)
    assert labels.read(said, "key") == text
    assert all(re.fullmatch(r"[a-z0-9_-]{0,63}", value) for value in said.values())


@given(TEXTS, st.builds(OfferKey, TEXTS, PARTS, PARTS, PARTS, st.none() | st.sampled_from(Market)))
def test_batch_and_offer_come_back(batch: str, offer: OfferKey) -> None:
    said = labels.of_request("c", asked(batch, offer))
    assert labels.read(said, labels.BATCH) == batch
    assert labels.offer_of(said) == offer


@given(TEXTS, TEXTS, TEXTS)
def test_names_are_googles(cluster: str, pool: str, batch: str) -> None:
    names = machine_names(cluster, asked(batch, OfferKey(pool), 3, 2))
    assert len(set(names)) == 6
    assert all(NAME.fullmatch(name) for name in names)
    assert re.fullmatch(r"[a-z0-9_-]{1,63}", labels.cluster_label(cluster))


def test_names_and_tokens_follow_from_what_is_asked_for() -> None:
    request = asked("b1", OfferKey("gpu"))
    assert machine_names("c", request) == machine_names("c", request)
    assert not set(machine_names("c", request)) & set(machine_names("c", asked("b2", OfferKey("gpu"))))
    assert not set(machine_names("c", request)) & set(machine_names("d", request))
    assert token("a", "b") == token("a", "b") != token("ab", "")


def test_clusters_that_look_alike_are_told_apart() -> None:
    assert labels.cluster_label("demo") == "demo"
    assert labels.cluster_label("Demo") != labels.cluster_label("DEMO")
    assert len({labels.cluster_label("x" * 70 + end) for end in "ab"}) == 2
