"""The dashboards: tables of panels, and what makes Grafana's JSON of them."""
