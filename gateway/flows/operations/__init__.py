"""Background work: recovery, reconciliation, projections, backfill."""
