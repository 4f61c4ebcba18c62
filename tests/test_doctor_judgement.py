"""What each examination makes of facts, and what it says to do."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from speeddata.doctor import buffers, clock, disk, finding, joining, limits, load, multicast, parts, ports
from speeddata.doctor.buffers import Buffer, Dropped
from speeddata.doctor.clock import Clock
from speeddata.doctor.disk import Disk, Keeping, Trial
from speeddata.doctor.finding import Finding
from speeddata.doctor.joining import Attempt, Joins
from speeddata.doctor.limits import Limits
from speeddata.doctor.load import Load, Seen
from speeddata.doctor.multicast import Device, Network, Route
from speeddata.doctor.parts import Parts
from speeddata.doctor.ports import Holder, Port

ROOT = Path(__file__).resolve().parent.parent
LO = Device("lo", ("127.0.0.1",), multicast=False, loopback=True)
ETH0 = Device("eth0", ("192.168.1.7", "10.0.0.7"))
TUN0 = Device("tun0", ("172.16.0.2",), multicast=False)
BY_LO = Route("lo", default=False)
GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10
NOON_S = 1_764_763_200
RIG = Seen("rig", 1000.0, 50.0, 0.01)
NOTHING = Load()


def states(findings):
    return [found.state for found in findings]


def only(findings):
    (found,) = findings
    return found


# --- findings --------------------------------------------------------------------------------------------


def test_a_finding_is_a_line_and_its_cure_another():
    found = Finding("disk", "fault", "no room is left", "make room")
    assert finding.lines(found) == [
        "fault    disk       no room is left",
        "                    cure: make room",
    ]
    assert finding.lines(Finding("port", "ok", "it is free")) == ["ok       port       it is free"]


def test_a_verdict_counts_what_would_go_wrong_and_nothing_else():
    def of(*found):
        return finding.verdict([Finding("disk", state, "") for state in found])

    assert of("ok", "note") == ""
    assert of("ok", "warning") == "1 warning"
    assert of("warning", "fault", "note", "warning") == "1 fault, 2 warnings"


# --- interfaces and routes -------------------------------------------------------------------------------


def network(*devices, asked=(), route=BY_LO, linux=True):
    return Network(devices, asked, "239.1.1.1", route, linux)


def interface(*devices, **kwargs):
    return next(found for found in multicast.judge(network(*devices, **kwargs)) if found.about == "interface")


def way(*devices, **kwargs):
    return next(found for found in multicast.judge(network(*devices, **kwargs)) if found.about == "route")


def test_loopback_alone_is_all_that_is_needed():
    assert states(multicast.judge(network(LO))) == ["ok", "ok"]


def test_other_machines_do_not_see_what_is_served_by_loopback_and_that_is_told():
    found = interface(LO, ETH0)
    assert (found.state, found.what) == (
        "note",
        "lo (127.0.0.1): groups are served there only: other machines do not see it; "
        "they are joined on eth0 (192.168.1.7, 10.0.0.7) too",
    )
    assert found.cure == "if they are to: --interface eth0, or SPEEDDATA_INTERFACE=eth0"


@pytest.mark.parametrize("lo", [replace(LO, up=False), replace(LO, addresses=())])
def test_without_loopback_nothing_is_served(lo):
    found = interface(lo, ETH0)
    assert (found.state, found.cure) == ("fault", "ip link set lo up")


def test_an_interface_that_is_not_there_is_a_fault_with_those_that_are():
    found = interface(LO, ETH0, replace(TUN0, up=False), asked=("eth9",))
    assert (found.state, found.what) == ("fault", "there is no interface 'eth9', which --interface names")
    assert found.cure == "name one of: lo (127.0.0.1), eth0 (192.168.1.7, 10.0.0.7)"


@pytest.mark.parametrize(
    ("change", "state", "cure"),
    [
        ({"up": False, "addresses": ()}, "fault", "ip link set eth0 up"),
        ({"addresses": ()}, "fault", "ip addr add ADDRESS/24 dev eth0"),
        ({"running": False}, "warning", "plug in its cable, or connect it"),
        ({"multicast": False}, "warning", "ip link set eth0 multicast on"),
        ({}, "ok", ""),
    ],
)
def test_an_interface_that_is_named_has_to_be_up_with_an_address_a_link_and_multicast(change, state, cure):
    found = interface(LO, replace(ETH0, **change), asked=("eth0",))
    assert (found.state, found.cure) == (state, cure)


def test_an_interface_is_named_by_any_of_its_addresses_and_loopback_need_not_say_that_it_can_multicast():
    both = network(LO, ETH0, asked=("10.0.0.7", "lo", "eth9"))
    assert states(multicast.judge(both))[:3] == ["ok", "ok", "fault"]
    assert multicast.usable(both) == ["10.0.0.7", "lo"]
    assert multicast.usable(network(replace(ETH0, up=False), asked=("eth0",))) == []


def test_commands_are_those_of_the_system():
    down = interface(replace(LO, up=False, name="lo0"), linux=False)
    assert down.cure == "ifconfig lo0 up"
    assert way(LO, route=Route(""), linux=False).cure == "route add -net 239.0.0.0/8 -interface lo"


def test_receivers_that_name_no_interface_need_a_route_to_where_groups_are_served():
    found = way(LO, ETH0, route=Route(""))
    assert (found.state, found.cure) == ("note", "ip route replace 239.0.0.0/8 dev lo")
    found = way(LO, ETH0, route=Route("eth0", default=True))
    assert found.what == (
        "receivers that name no interface join by eth0, the default route, and hear nothing of what is "
        "served by lo"
    )
    assert found.cure == "let them join on 127.0.0.1, or: ip route replace 239.0.0.0/8 dev lo"
    assert way(LO, ETH0, asked=("eth0",), route=Route("eth0", default=True)).state == "note"
    assert way(LO, ETH0, asked=("eth0",), route=Route("eth0", default=False)).state == "ok"
    assert way(LO, route=None).what == "cannot tell which way leads to 239.1.1.1"


def test_a_system_that_tells_of_no_interface_is_no_fault():
    assert states(multicast.judge(network())) == ["note"]


# --- joins -----------------------------------------------------------------------------------------------


def tried(*attempts, memberships=20):
    return list(joining.judge(Joins(attempts, "239.1.1.4", memberships)))


SERVED = Attempt("lo (127.0.0.1)", served=True, echo_ms=0.061)
JOINED = Attempt("eth0 (192.168.1.7)")


def test_groups_that_are_joined_and_heard_are_well():
    join, echo = tried(SERVED, JOINED)
    assert (
        join.what
        == "groups can be joined on 2 interfaces; a socket may join 20 times, and does so once an interface"
    )
    assert echo.what == "lo (127.0.0.1): a datagram sent to 239.1.1.4 arrived after 0.061 ms"
    assert states([join, echo]) == ["ok", "ok"]


def test_a_refused_join_matters_most_where_groups_are_served():
    assert states(tried(SERVED, replace(JOINED, refused="No such device"))) == ["warning", "ok"]
    assert states(tried(replace(SERVED, refused="No such device", echo_ms=None))) == ["fault"]


def test_what_does_not_come_back_was_stopped_by_a_firewall():
    _, lost = tried(replace(SERVED, echo_ms=None))
    assert lost.state == "fault"
    assert lost.cure.startswith("let UDP to 239.0.0.0/8 pass the firewall")
    _, unsent = tried(replace(SERVED, echo_ms=None, unsent="Operation not permitted"))
    assert (unsent.state, unsent.what.rpartition(": ")[2]) == ("fault", "Operation not permitted")


def test_more_interfaces_than_a_socket_may_join_on_are_told_with_the_line_to_run():
    join, _ = tried(SERVED, *[JOINED] * 22)
    assert join.state == "fault"
    assert join.what.endswith("and there are 23: groups are not heard on the last 3")
    assert join.cure.startswith("sysctl -w net.ipv4.igmp_max_memberships=23, or ")
    assert states(tried(SERVED, memberships=None)) == ["note", "ok", "ok"]
    assert tried() == []


# --- what is live ----------------------------------------------------------------------------------------


def test_what_is_live_is_summed_up_in_datums_and_bytes():
    found = only(load.judge([RIG, replace(RIG, channel="pump", rate_hz=10.0, here=False, datum_bytes=None)]))
    assert found.what == (
        "2 channels live: rig, pump; 1010/s, 48.8 KiB/s; 1 of other machines, which are not recorded here; "
        "1 said nothing while we looked"
    )
    assert found.measured == {"channels": 2, "rate_hz": 1010.0, "bytes_s": 50_000}


def test_where_nothing_is_live_it_may_be_said_what_is_planned():
    assert "--expect" in only(load.judge([])).cure
    assert states(load.judge([], expected=5)) == ["ok"]
    assert only(load.judge(None, "no interface")).what == "cannot tell what is live: no interface"


def test_the_load_is_what_is_expected_else_what_relays_of_this_machine_serve():
    away = replace(RIG, here=False)
    assert load.load([RIG, RIG, away], None) == Load(100_000.0, 2000.0, "2 channels")
    assert load.load([RIG], 5_000_000) == Load(5_000_000.0, 1000.0, "--expect")
    assert load.load([away], None) == Load(None, None, "")
    assert load.load([replace(RIG, datum_bytes=None)], None) == Load(None, 1000.0, "")


def test_losses_are_told_by_where_they_happened():
    _, found = load.judge([replace(RIG, lost=12, lost_kernel=5, lost_disk=3000)])
    assert found.what == (
        "rig lost datums since its relay began: 7 on the way, 5 in the receive buffer, 3,000 before the disk"
    )
    assert (found.state, "larger receive buffer" in found.cure) == ("note", True)


@pytest.mark.parametrize(
    ("ahead_s", "said"),
    [
        (3600.3, "60 min ahead of this clock: its clock is set to local time"),
        (-7200.0, "2 h behind this clock: its clock is set to local time"),
        (-5000.0, "83 min behind this clock: its clock is wrong, or it replays a recording"),
        (-86400 * 354.0, "354 days behind this clock: its clock is wrong, or it replays a recording"),
        (7.0, "7 s ahead of this clock: its clock is wrong, or it replays a recording"),
    ],
)
def test_a_channel_whose_time_is_elsewhere_is_told_with_a_guess(ahead_s, said):
    _, found = load.judge([replace(RIG, ahead_s=ahead_s)])
    assert (found.about, found.state, found.what) == ("clock", "warning", f"the time in rig is {said}")


@pytest.mark.parametrize("ahead_s", [None, 0.0, -2.0, 4.9])
def test_a_channel_whose_time_is_now_or_none_is_well(ahead_s):
    assert states(load.judge([replace(RIG, ahead_s=ahead_s)])) == ["ok"]


# --- buffers ---------------------------------------------------------------------------------------------


def test_a_receive_buffer_as_asked_for_is_well():
    assert states(buffers.judge(Buffer(64 * MIB, 64 * MIB, 64 * MIB, 64 * MIB), NOTHING)) == ["ok"]


def test_a_small_receive_buffer_is_told_with_the_lines_that_mend_it_now_and_for_good():
    found = only(buffers.judge(Buffer(64 * MIB, 208 * KIB, 208 * KIB, 208 * KIB), NOTHING))
    assert (found.state, found.what) == (
        "warning",
        "receive buffer: 208 KiB of the 64 MiB asked for: when a relay is held up, it is full after 0.055 s "
        "at 10000/s",
    )
    assert found.cure == (
        "sysctl -w net.core.rmem_max=67108864; "
        "to keep it: echo net.core.rmem_max=67108864 > /etc/sysctl.d/60-speeddata.conf"
    )


def test_a_small_receive_buffer_is_enough_for_a_slow_channel():
    small = Buffer(64 * MIB, 208 * KIB, 208 * KIB)
    assert states(buffers.judge(small, Load(None, 100.0))) == ["note"]
    assert states(buffers.judge(small, Load(None, 5000.0))) == ["warning"]


def test_who_may_force_a_large_buffer_is_told_what_others_get():
    found = only(buffers.judge(Buffer(64 * MIB, 64 * MIB, 4 * MIB, 4 * MIB), NOTHING))
    assert found.state == "note"
    assert found.what.endswith("by the right of this user (CAP_NET_ADMIN); others get 4 MiB")


def test_drops_matter_where_a_relay_listens_or_while_they_go_on():
    found = list(
        buffers.judge_drops(
            [
                Dropped(26000, 7, 0, True),
                Dropped(5353, 9, 0, False),
                Dropped(9999, 3, 1, False),
                Dropped(1, 0, 0, True),
            ]
        )
    )
    assert states(found) == ["warning", "note", "warning"]
    assert found[0].what == "the kernel dropped 7 datagrams at UDP port 26000"
    assert found[2].what.endswith("3 datagrams at UDP port 9999, 1 of them just now")
    assert states(buffers.judge_drops(None)) == ["note"]


# --- ports -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "state", "what"),
    [
        (Port("0.0.0.0:26000"), "ok", "0.0.0.0:26000 is free for a relay"),
        (
            Port("0.0.0.0:26000", taken=True, holder=Holder(77, "speeddata", True)),
            "ok",
            "0.0.0.0:26000: a relay listens there already (process 77)",
        ),
        (
            Port("0.0.0.0:26000", taken=True, holder=Holder(77, "nc", False)),
            "fault",
            "0.0.0.0:26000 is taken by nc (process 77)",
        ),
        (
            Port("0.0.0.0:26000", taken=True, served=True),
            "note",
            "0.0.0.0:26000 is taken, by the relay that runs here most likely",
        ),
        (Port("0.0.0.0:26000", taken=True), "warning", "0.0.0.0:26000 is taken by a process of another user"),
        (
            Port("9.9.9.9:1", "pump", refused="Permission denied"),
            "fault",
            "9.9.9.9:1, where datums of pump are to arrive, cannot be listened at: Permission denied",
        ),
    ],
)
def test_a_port_is_free_or_a_relay_has_it_or_it_is_in_the_way(port, state, what):
    found = only(ports.judge(port))
    assert (found.state, found.what) == (state, what)
    assert bool(found.cure) == (state in ("warning", "fault"))


# --- the clock -------------------------------------------------------------------------------------------

KEPT = Clock(NOON_S * 10**9, True, "systemd-timesyncd", 3.4, 1, 0.0001, (NOON_S - 10**6) * 10**9)


def test_a_clock_that_is_kept_right_is_well():
    assert only(clock.judge(KEPT)).what == "the clock is synchronised by systemd-timesyncd, within 3.4 ms"


def test_what_nobody_keeps_right_or_cannot_be_told_is_noted():
    assert states(clock.judge(replace(KEPT, synchronised=False, keeper=""))) == ["note"]
    assert only(clock.judge(replace(KEPT, synchronised=None))).what.startswith("cannot tell whether")
    chrony = only(clock.judge(replace(KEPT, synchronised=False, keeper="chronyd")))
    assert (chrony.state, "rtcsync" in chrony.cure) == ("note", True)


@pytest.mark.parametrize(
    ("change", "state", "what"),
    [
        ({"now_ns": 0}, "fault", "the clock is wrong: 20,414 days before this program was installed"),
        (
            {"recorded_ns": (NOON_S + 7200) * 10**9},
            "warning",
            "the newest recording began 2 h in the future: the clock was, or is, wrong",
        ),
        ({"step_s": -1.25}, "warning", "the clock jumped by -1.2 s while we looked"),
        (
            {"resolution_ns": 4_000_000},
            "note",
            "the clock tells apart 4 ms: samples closer than that share a time",
        ),
    ],
)
def test_a_clock_that_is_wrong_jumps_or_is_coarse_is_told(change, state, what):
    found = [each for each in clock.judge(replace(KEPT, **change)) if each.state != "ok"]
    assert [(each.state, each.what) for each in found] == [(state, what)]


# --- the disk --------------------------------------------------------------------------------------------

FAST = Trial(64 * MIB, 0.5, 0.02)
SPACIOUS = Disk("data", True, total=100 * GIB, free=45 * GIB, inodes=10**6, kind="ext4", trial=FAST)


def of_disk(load=NOTHING, keeping=None, **change):
    return list(disk.judge(replace(SPACIOUS, **change), keeping or Keeping(), load))


def test_a_disk_with_room_and_speed_is_well():
    room, speed = of_disk()
    assert room.what == "data: 45.0 GiB free of 100.0 GiB"
    assert speed.what == "data takes 128.0 MiB/s"
    assert states([room, speed]) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("bytes_s", "state", "span"),
    [(20 * MIB, "warning", "34 min"), (GIB / 3600, "ok", "40 h"), (100 * KIB, "ok", "4.9 days")],
)
def test_it_is_told_when_the_oldest_recordings_go(bytes_s, state, span):
    room, _ = of_disk(Load(bytes_s, 1.0, "2 channels"))
    assert (room.state, room.what.rpartition(", ")[2]) == (state, f"in {span} the oldest recordings go")


def test_room_for_less_than_a_day_is_noted_with_the_options_that_decide():
    room, _ = of_disk(Load(MIB, 1.0, "--expect"))
    assert (room.state, room.what) == (
        "note",
        "data: 45.0 GiB free of 100.0 GiB: at 1.0 MiB/s of --expect, in 11 h the oldest recordings go",
    )
    assert "--keep-time" in room.cure
    assert of_disk(Load(MIB, 1.0, "--expect"), Keeping(min_free=0.0))[0].what.endswith("in 13 h it is full")


def test_what_is_to_be_kept_has_room_or_has_not():
    day = Keeping(time_s=86400.0)
    room, _ = of_disk(Load(100 * KIB, 1.0, "1 channel"), day)
    assert (room.state, room.what.rpartition("/s ")[2]) == (
        "ok",
        "of 1 channel there is room for what is kept: 24 h",
    )
    room, _ = of_disk(Load(MIB, 1.0, "1 channel"), day)
    assert (room.state, room.what.rpartition(", ")[2]) == (
        "warning",
        "sooner than the 24 h that are to be kept",
    )
    room, _ = of_disk(Load(MIB, 1.0, "1 channel"), Keeping(size=GIB))
    assert (room.state, room.what.rpartition(": ")[2]) == ("ok", "17 min")


def test_a_disk_below_what_shall_stay_free_or_of_less_than_two_files_is_told():
    assert of_disk(free=4 * GIB)[0].what == (
        "data: 4.0 GiB free of 100.0 GiB, less than the 5% of --min-free: the oldest recordings go, "
        "whatever is to be kept"
    )
    room = of_disk(total=100 * MIB, free=45 * MIB)[0]
    assert (room.state, room.cure) == ("warning", "make room, or begin files sooner: --rotate-size 10MiB")
    assert of_disk(inodes=12)[0].state == "fault"


@pytest.mark.parametrize(
    ("bytes_s", "state"), [(200 * MIB, "fault"), (100 * MIB, "warning"), (40 * MIB, "ok"), (1.0, "ok")]
)
def test_the_disk_has_to_be_faster_than_what_comes_by_a_margin(bytes_s, state):
    assert of_disk(Load(bytes_s, 1.0, "--expect"))[-1].state == state


def test_a_disk_that_stalls_longer_than_a_relay_can_hold_back_loses():
    stalls = Trial(100 * MIB, 1.0, 0.9)
    found = of_disk(Load(80.0 * MIB, 1.0, "--expect"), trial=stalls)[-1]
    assert (found.state, "at worst after 0.9 s: too long" in found.what) == ("fault", True)


def test_a_trial_of_too_little_says_nothing_of_speed():
    found = of_disk(trial=Trial())[-1]
    assert found.what == "cannot tell how fast data takes data: no room to try it"


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ({"full": True}, "fault", "no room is left"),
        ({"refused": "Permission denied"}, "fault", "cannot be written: Permission denied"),
        ({"unwritable": ("data/rig",)}, "fault", "data/rig cannot be written by this user"),
        ({"lock": 41}, "ok", "a relay records there already (process 41)"),
        ({"kind": "tmpfs"}, "warning", "in memory (tmpfs)"),
        ({"kind": "nfs4"}, "note", "on the network (nfs4)"),
        ({"kind": "fuse.sshfs"}, "note", "on the network (fuse.sshfs)"),
        ({"kind": "overlay"}, "warning", "in the container itself (overlay)"),
        ({"kind": "fuse.fuse-overlayfs"}, "warning", "in the container itself"),
        ({"kind": "vfat"}, "note", "on vfat"),
        ({"card": "mmcblk0"}, "note", "on a memory card or eMMC (mmcblk0)"),
    ],
)
def test_what_the_directory_is_on_is_told_plainly(change, state, word):
    first = of_disk(**change)[0]
    assert first.state == state
    assert word in first.what
    assert bool(first.cure) == (state != "ok")


def test_a_relay_of_another_user_may_write_what_this_one_may_not():
    change = {"lock": 41, "refused": "Permission denied", "unwritable": ("data/rig",), "trial": Trial()}
    relay, _, speed = of_disk(**change)
    assert (relay.state, relay.what) == ("ok", "data: a relay records there already (process 41)")
    assert speed.what == "cannot tell how fast data takes data: Permission denied"


def test_a_file_system_that_tells_no_type_is_no_finding():
    assert states(of_disk(kind=None)) == ["ok", "ok"]


# --- limits and parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "channels", "state"),
    [(20_000, 10, "ok"), (256, 10, "note"), (64, 10, "fault"), (None, 1, "note")],
)
def test_open_files_have_to_be_enough_for_the_channels(files, channels, state):
    found = next(limits.judge(Limits(files, 524288, True, True), channels))
    assert found.state == state
    assert found.cure == (
        "" if state == "ok" or files is None else "ulimit -n 1024; in a systemd unit: LimitNOFILE=1024"
    )


@pytest.mark.parametrize(
    ("trains", "many", "state"),
    [(True, True, "ok"), (False, True, "note"), (False, False, "note"), (None, None, "note")],
)
def test_a_kernel_without_trains_works_and_is_told(trains, many, state):
    _, found = limits.judge(Limits(20_000, None, trains, many), 1)
    assert found.state == state


def test_versions_and_optional_parts_are_told():
    versions = dict.fromkeys((*parts.NEEDED, "scramp", "urllib3", "nats-py"), "1.2")
    told, optional = parts.judge(Parts("0.1.0", "3.11.9", "Linux 6.1", versions))
    assert told.what.startswith("speeddata 0.1.0, Python 3.11.9, Linux 6.1: click 1.2, fastavro 1.2")
    assert optional.what == "optional parts: haystack, nats; not there: codecs, kafka, web"
    assert optional.cure == "where they are wanted: pip install 'speeddata[codecs,kafka,web]'"
    missing = next(parts.judge(Parts("0.1.0", "3.11.9", "Linux 6.1", {"click": "8.1"})))
    assert (missing.state, missing.cure) == ("fault", "pip install fastavro h5py numpy rich textual")


def test_the_parts_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    def names(wanted):
        return {one.partition(">")[0].partition("[")[0].strip() for one in wanted}

    assert names(project["dependencies"]) == {*parts.NEEDED, *parts.FASTER}
    extras = {
        name: names(wanted) for name, wanted in project["optional-dependencies"].items() if name != "test"
    }
    assert extras == {name: set(wanted) for name, wanted in parts.EXTRAS.items()}
