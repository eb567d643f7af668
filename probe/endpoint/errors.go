package endpoint

// ConfigError is a target that cannot be used as it is configured. Nothing was
// sent.
type ConfigError struct {
	Target  string // name of the target
	Problem string // what is wrong
	Hint    string // what to do
}

// Error gives one sentence: what is wrong and what to do.
func (e *ConfigError) Error() string {
	return "target " + e.Target + ": " + e.Problem + "; " + e.Hint
}
