"""The batch of an agent on both engines, beside a loop and plain asyncio."""
