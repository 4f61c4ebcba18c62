"""What files and announcements of strangers can make a command do: run nothing, and listen nowhere."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from pathlib import Path

import pytest
from by_hand import DISCOVERY, LOOPBACK, RIG_TEXT, announcement, unused_port


@pytest.mark.parametrize("table", ["[subscribe]", ""])
def test_a_file_of_settings_can_name_no_command_to_run(run, tmp_path, table):
    own = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    (tmp_path / "speeddata.toml").write_text(f'{table}\nexec = "touch harm"\n')
    status, out, err = run("subscribe", "listen", "--name", "me", env=own)
    assert (status, out) == (2, "")
    assert "exec: no such setting" in err
    assert not (tmp_path / "harm").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("where", [f"{LOOPBACK}:PORT", "0.0.0.0:PORT", "239.1.1.3:25999", "[::]:PORT"])
def test_an_announcement_makes_nobody_listen_but_at_a_group(spawn, channel_name, where):
    port = unused_port()
    said = {"channel": channel_name, "session": secrets.token_hex(8), "role": "relay", "state": "live"}
    words = announcement(RIG_TEXT, **said, full=where.replace("PORT", str(port)), decimated="239.1.1.2:21000")
    tap = spawn("tap", channel_name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        end = time.monotonic() + 20
        while tap.running and time.monotonic() < end:
            sock.sendto(words, DISCOVERY)
            for table in ("udp", "udp6"):
                assert f":{port:04X} " not in Path(f"/proc/net/{table}").read_text()
            time.sleep(0.02)
    assert tap.wait() == 4
    assert "no relay announced it" in tap.stderr.rest().decode()
