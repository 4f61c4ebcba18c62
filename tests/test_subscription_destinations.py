"""Connection strings: what they mean, what is refused, and that nothing secret is ever shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.errors import UsageError
from speeddata.subscription.destinations import Destination, Kafka, LogFile, Nats, Stdout

KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhIQo="
# As a streaming API asks for it: Endpoint=sb://<FQDN>/;SharedAccessKeyName=<KeyName>;...
EVENT_HUBS = (
    f"Endpoint=sb://plant.servicebus.windows.net/;SharedAccessKeyName=Send;SharedAccessKey={KEY};"
    "EntityPath=timeseries"
)
PLACEHOLDERS = (
    "Endpoint=sb://<FQDN>/;SharedAccessKeyName=<KeyName>;SharedAccessKey=<KeyValue>;EntityPath=<EventhubName>"
)


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        Destination.parse(text)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_nothing_is_the_log_and_a_path_says_where_it_is():
    assert Destination.parse("") == Destination.parse(" \n") == LogFile("")
    assert Destination.parse("sqlite:/var/lib/hub.db\n") == LogFile("/var/lib/hub.db")
    assert Destination.parse("-") == Stdout()


def test_a_stream_of_nats():
    assert Destination.parse("nats://127.0.0.1/SPEED") == Nats(("127.0.0.1:4222",), "SPEED")
    text = "tls://a.example:5222,b.example/SPEED?subject=plant.{channel}&ca=/etc/ca%20of%20us.pem&on_missing=wait"
    assert Destination.parse(text) == Nats(
        ("a.example:5222", "b.example:4222"),
        "SPEED",
        "plant.{channel}",
        tls=True,
        ca="/etc/ca of us.pem",
        on_missing="wait",
    )


def test_who_logs_in_to_nats_is_a_user_a_token_or_a_file():
    user = Destination.parse("tls://me:p%40s%2Fs%25@host/S")
    assert isinstance(user, Nats)
    assert (user.user, user.password, user.token) == ("me", "p@s/s%", "")
    token = Destination.parse("tls://t0ken@host/S")
    assert isinstance(token, Nats)
    assert (token.user, token.password, token.token) == ("", "", "t0ken")
    creds = Destination.parse("tls://host/S?creds=/home/me@corp/x.creds".replace("@", "%40"))
    assert isinstance(creds, Nats)
    assert creds.creds == "/home/me@corp/x.creds"


def test_a_subject_has_no_empty_token_whatever_the_names():
    nats = Nats(("h:1",), "S")
    assert nats.subject_of("plant", "rig.left") == "speeddata.plant.rig.left"
    assert nats.subject_of("plant", "rig..left.") == "speeddata.plant.rig%2E.left%2E"


def test_a_topic_of_kafka():
    assert Destination.parse("kafka://127.0.0.1,[::1]:19092/speed") == Kafka(
        ("127.0.0.1:9092", "[::1]:19092"), "speed"
    )
    text = (
        "kafka+ssl://me:pw1234@b.example/speed?sasl=scram-sha-512&ca=/ca.pem&x.linger.ms=50&x.client.id=a%20b"
    )
    assert Destination.parse(text) == Kafka(
        ("b.example:9093",),
        "speed",
        tls=True,
        sasl="SCRAM-SHA-512",
        user="me",
        password="pw1234",
        ca="/ca.pem",
        options=(("linger.ms", "50"), ("client.id", "a b")),
    )


def test_the_string_of_event_hubs_is_taken_byte_for_byte():
    found = Destination.parse(EVENT_HUBS)
    assert found == Kafka(
        ("plant.servicebus.windows.net:9093",),
        "timeseries",
        tls=True,
        sasl="PLAIN",
        user="$ConnectionString",
        password=EVENT_HUBS,
        on_missing="fail",
        event_hubs=True,
        key_name="Send",
    )


def test_authorities_of_ones_own_are_no_part_of_what_event_hubs_gets():
    found = Destination.parse(f"{EVENT_HUBS};Ca=/etc/proxy.pem")
    assert isinstance(found, Kafka)
    assert (found.password, found.ca) == (EVENT_HUBS, "/etc/proxy.pem")
    other = Destination.parse(EVENT_HUBS.replace("windows.net/", "windows.net:19093"))
    assert isinstance(other, Kafka)
    assert other.servers == ("plant.servicebus.windows.net:19093",)


@pytest.mark.parametrize(
    ("text", "part", "mend"),
    [
        (PLACEHOLDERS, "Endpoint: is still a placeholder", "your own"),
        (EVENT_HUBS.replace(";EntityPath=timeseries", ""), "EntityPath: is missing", "append ;EntityPath="),
        (EVENT_HUBS.replace("EntityPath", "EntityPth"), "part 4", "did you mean EntityPath=?"),
        (EVENT_HUBS.replace(f"SharedAccessKey={KEY}", "SharedAccessKey="), "SharedAccessKey: is empty", ""),
        (EVENT_HUBS.replace("sb://", "https://"), "Endpoint: is no sb://HOST/", ""),
        (EVENT_HUBS.replace(".windows.net", "/me@.net"), "Endpoint", ""),
        (f"{EVENT_HUBS};{EVENT_HUBS}", "Endpoint: is there twice", ""),
        (EVENT_HUBS.replace("Endpoint=", "Endpont="), "part 1", "did you mean Endpoint=?"),
        ("nts://host/S", "before ://", "did you mean nats://?"),
        ("postgres://host/S", "before ://", "nats://HOST/STREAM"),
        ("host:4222", "no connection string", "nats://HOST/STREAM"),
        ("nats://localhost", "stream: is missing", "nats://HOST/SPEED"),
        ("nats://localhost/a.b", "stream: is no name", ""),
        ("nats://localhost/S?subject=a..b", "subject", "{customer}"),
        ("nats://localhost/S?subject=a.>", "subject", ""),
        ("nats://localhost/S?subject={chanel}", "subject", ""),
        ("nats://localhost/S?on-mising=wait", "parameter 1", "did you mean on-missing=?"),
        ("nats://localhost/S?on-missing=perhaps", "on-missing", "create, wait, fail"),
        ("nats://localhost/S?insecure=1&insecure=1", "insecure: is there twice", ""),
        ("nats://localhost/S?insecure=yes", "insecure: is not 1", "insecure=1"),
        ("nats://localhost/S?creds", "parameter 1", "did you mean creds=?"),
        ("nats://me:pw@localhost/S?creds=/x", "creds", "leave one"),
        ("nats://localhost/S?x.linger.ms=5", "parameter 1", ""),
        ("nats://localhost/S#a", "#", "%23"),
        ("nats://@localhost/S", "user: is empty", ""),
        ("nats://me:@localhost/S", "password: is empty", ""),
        ("nats://me:p/w@localhost/S", "an @ behind", "%2F"),
        ("nats://me:p%zw@localhost/S", "password: a %", "%25"),
        ("nats://me:p%FFw@localhost/S", "password", "UTF-8"),
        ("nats://localhost:0/S", "server 1: its port", ""),
        ("nats://localhost:4222,:4222/S", "server 2: has no host", ""),
        ("nats://::1/S", "server 1: more than one colon", "[::1]"),
        ("nats://[::g]/S", "server 1: no IPv6 address", ""),
        ("nats://[fe80::1%25eth0]/S", "server 1: no IPv6 address", ""),
        ("nats://127.0.0.300/S", "server 1: no IPv4 address", ""),
        ("nats://a b/S", "server 1: no name of a host", ""),
        ("nats://localhost/S?ca=/x", "ca: is for TLS", "tls://"),
        ("tls://host/S?insecure=1", "insecure: is for clear text", "ca="),
        ("kafka://localhost/", "topic: is missing", ""),
        ("kafka://localhost/a b", "topic: is no name", ""),
        ("kafka://me:pw@localhost/t", "sasl: is missing", "SCRAM-SHA-512"),
        ("kafka://localhost/t?sasl=PLAIN", "user and password: are missing", "USER:PASSWORD@"),
        ("kafka+ssl://me@host/t?sasl=PLAIN", "user and password: are missing", ""),
        ("kafka+ssl://me:pw@host/t?sasl=GSSAPI", "sasl: no such one", "PLAIN"),
        ("kafka://localhost/t?x.=5", "parameter 1: no name of an option", "x.linger.ms=50"),
        ("kafka://localhost/t?x.Linger.ms=5", "parameter 1: no name of an option", ""),
        ("kafka://localhost/t?x.linger.ms=%205", "parameter 1: no value", ""),
        ("kafka://localhost/t?x.linger.ms=5&x.linger.ms=6", "parameter 2", "twice"),
        ("kafka://localhost/t?x.acks=0", "x.acks: this option is not to be set", "rests on it"),
        ("kafka://localhost/t?x.enable.idempotence=false", "x.enable.idempotence", ""),
        ("kafka://localhost/t?x.delivery.timeout.ms=5", "x.delivery.timeout.ms", ""),
        ("kafka://localhost/t?x.message.timeout.ms=5", "x.message.timeout.ms", ""),
        ("kafka://localhost/t?x.enable.ssl.certificate.verification=false", "verification", "TLS"),
        ("kafka://localhost/t?x.sasl.password=hidden99", "parameter 1", "other parts"),
        ("kafka://localhost/t?x.test.mock.num.brokers=1", "parameter 1", ""),
        ("kafka://localhost/t?x.error_cb=f", "parameter 1", ""),
        ("kafka://localhost/t?x.plugin.library.paths=/x", "x.plugin.library.paths", "run code"),
        ("sqlite:", "sqlite: no path", ""),
        ("nats://localhost/S\nnats://localhost/T", "more than one line", ""),
        ("x" * 5000, "longer than 4096", ""),
        ("\ud800", "UTF-8", ""),
    ],
)
def test_what_is_wrong_is_told_by_its_part(text, part, mend):
    told = refused(text)
    assert told.startswith("destination: ")
    assert part in told
    assert mend in told
    for secret in (KEY, "pw@", "hidden99", "p%zw"):
        assert secret not in told


@pytest.mark.parametrize("server", ["localhost", "127.0.0.1", "127.8.8.8:4222", "[::1]", "LOCALHOST."])
def test_clear_text_stays_on_this_machine(server):
    assert isinstance(Destination.parse(f"nats://{server}/S"), Nats)
    assert isinstance(Destination.parse(f"kafka://{server}/S"), Kafka)


@pytest.mark.parametrize(
    "server", ["host", "10.0.0.1", "[2001:db8::1]", "localhost,host", "localhost.example"]
)
@pytest.mark.parametrize("scheme", ["nats", "kafka"])
def test_clear_text_to_another_host_needs_a_word(scheme, server):
    assert "insecure=1 where that is meant" in refused(f"{scheme}://{server}/S")
    found = Destination.parse(f"{scheme}://{server}/S?insecure=1")
    assert isinstance(found, Nats | Kafka)
    assert found.insecure
    secure = {"nats": "tls", "kafka": "kafka+ssl"}[scheme]
    assert isinstance(Destination.parse(f"{secure}://{server}/S"), Nats | Kafka)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://me:hidden@localhost/S", "nats://me:***@localhost:4222/S"),
        ("nats://hidden@localhost/S?subject=a.{channel}", "nats://***@localhost:4222/S?subject=a.{channel}"),
        (
            "kafka+ssl://m%3Ae:hidden@h/t?sasl=PLAIN&x.linger.ms=5&x.ssl.key.password=hidden",
            "kafka+ssl://m%3Ae:***@h:9093/t?sasl=PLAIN&x.linger.ms=5&x.ssl.key.password=***",
        ),
        (EVENT_HUBS, EVENT_HUBS.replace(KEY, "***")),
        ("sqlite:/a/b", "sqlite:/a/b"),
        ("-", "-"),
    ],
)
def test_what_is_shown_is_whole_but_for_the_secret(text, shown):
    found = Destination.parse(text)
    assert found.redacted == str(found) == f"{found}" == shown
    assert repr(found) == f"<{type(found).__name__} {shown}>"


# No word of a message is made of these, so that what is found in one came from the secret.
SECRETS = st.text("QZqz7890~!%/?#@:;=&,[]'\"{} \\", min_size=5, max_size=40).filter(
    lambda text: "  " not in text
)


@given(SECRETS, st.sampled_from(["nats", "tls", "kafka", "kafka+ssl", "natss"]), st.data())
def test_no_error_and_no_text_of_a_destination_has_a_secret_in_it(secret, scheme, data):
    texts = [
        f"{scheme}://me:{secret}@localhost:4222/S",
        f"{scheme}://{secret}@localhost/S?sasl=PLAIN",
        f"{scheme}://me:{secret}@/S",
        f"{scheme}://me:{secret}@localhost/S?sasl=PLAIN&x.ssl.key.password=pw",
        f"{scheme}://localhost/S?x.ssl.key.password={secret}",
        f"{scheme}://localhost/S?password={secret}",
        f"Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey={secret};EntityPath=t",
        f"Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKe={secret};EntityPath=t",
        f"Endpoint=sb://h/;SharedAccessKey={secret}",
        f"SharedAccessKey{secret}",
    ]
    text = data.draw(st.sampled_from(texts))
    pieces = {secret, secret.strip(), *(piece for piece in secret.split(";") if len(piece) > 4)}
    try:
        found = Destination.parse(text)
    except UsageError as exc:
        shown = f"{exc} {exc!r} {exc.__cause__!r} {exc.where} {exc.mend}"
    else:
        shown = f"{found} {found!r} {found.redacted}"
    assert not any(piece in shown for piece in pieces if piece.strip())


def told(text: str) -> str:
    """What a person sees of a connection string."""
    try:
        return Destination.parse(text).redacted
    except UsageError as exc:
        return str(exc)


@given(st.text(max_size=200), st.sampled_from(["", "nats://", "kafka+ssl://", "Endpoint=sb://"]))
def test_any_text_is_a_destination_or_refused_in_one_line(text, before):
    assert "\n" not in told(before + text)


@given(*[st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=50)] * 2)
def test_users_and_passwords_come_out_as_they_were(user, password):
    found = Destination.parse(f"tls://{quote(user, safe='')}:{quote(password, safe='')}@host/S")
    assert isinstance(found, Nats)
    assert (found.user, found.password) == (user, password)
