package endpoint

// Secret is an API key. It has no exported accessor, and every way of printing
// or encoding it gives "[secret]".
type Secret struct{ value string }
