"""The values of options that are words, of OpenAI and of other providers with its API."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "default", "disable")
VERBOSITIES = ("low", "medium", "high")
SERVICE_TIERS = (
    *("auto", "default", "flex", "priority", "scale"),
    *("on_demand", "performance", "standard_only"),
)
