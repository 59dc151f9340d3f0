"""Referral codes and links, whom they brought, and what partners earn by it."""
