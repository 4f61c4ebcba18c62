"""`speeddata hxpush`: history for SkySpark, Haxall and every Project Haystack server."""

from __future__ import annotations

from speeddata.verbs import Verbs

VERBS = {
    "push": "Write every sample of SOURCE into its point.",
    "map": "Draft the map from signals to points, or check one against the server.",
    "provision": "Make the sites, equips and points that are missing.",
    "status": "Tell how far each server is behind, and what it refused.",
}

command = Verbs("hxpush", VERBS, {verb: f"speeddata.commands.hxpush_{verb}" for verb in VERBS}, plain="push")
