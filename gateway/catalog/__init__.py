"""Tables that change slowly: orgs with contracts and limits, prices, rule sets, credentials."""
