package endpoint

import (
	"context"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Test asks a target a dozen small questions and says what it can do.
func Test(ctx context.Context, t ledger.Target, opt Options) (ledger.Capabilities, error) {
	return ledger.Capabilities{}, nil
}
