"""Candidates: where the structures come from that a campaign may choose."""
