"""Load on a running gateway: three kinds of callers that spend as real ones do."""
