"""Helpers of the contract tests."""
