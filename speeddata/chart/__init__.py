"""What a chart shows, without a screen: samples kept in memory, envelopes of them, scales, dots."""
