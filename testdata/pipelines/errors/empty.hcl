# Nothing but this. # ERROR: Pipeline without stages: A stage is a block
