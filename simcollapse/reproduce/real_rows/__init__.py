"""What real rows are worth: mixed in afresh, contaminated, few from the start, drawn less often, or deleted."""
