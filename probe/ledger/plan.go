package ledger

// Items lists what the plan asks for in the order of sending: every block holds
// one sample of one prompt for all targets, in random order, and the blocks are
// shuffled, so that a fault in time hits all targets alike. The order is a
// function of OrderSeed.
func (p *Plan) Items() []Item { return nil }

// Validate checks the plan against itself.
func (p *Plan) Validate() error { return errSkeleton }

// EncodePlan returns plan.json: indented, with a trailing newline, stable.
func EncodePlan(p *Plan) ([]byte, error) { return nil, errSkeleton }

// DecodePlan reads what EncodePlan wrote, and nothing else.
func DecodePlan(data []byte) (*Plan, error) { return nil, errSkeleton }
