package watermark

func facebookPresets() []Preset { return nil }
func markllmPresets() []Preset  { return nil }
func sglangPresets() []Preset   { return nil }
func synthidPresets() []Preset  { return nil }
