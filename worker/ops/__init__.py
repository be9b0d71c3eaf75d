"""What operators run it with: the systemd unit, metrics rules, dashboards."""
