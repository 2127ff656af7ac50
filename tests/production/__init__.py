"""From a verified agent to production: evaluation, registration, deployment."""
