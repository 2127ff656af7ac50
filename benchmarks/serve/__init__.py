"""The server of an agent under load, beside a bare pass-through and MLflow's own server."""
