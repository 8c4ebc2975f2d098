"""The admin API: tenants, keys and the audit, for keys with the scope admin."""
