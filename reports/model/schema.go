package model

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Exempt lists the parts of report.json that are not recomputed, by JSON
// pointer, with the reason.
func Exempt() map[string]string {
	out := map[string]string{}
	t := reflect.TypeFor[Report]()
	for i := range t.NumField() {
		f := t.Field(i)
		if reason := f.Tag.Get("exempt"); reason != "" {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			out["/"+name] = reason
		}
	}
	return out
}

// Schema is the JSON schema (draft 2020-12) of report.json. It is made from the
// types themselves, so that it cannot fall behind them; x-exempt gives the
// reason why a part is not recomputed by verification.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[Report]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "stillmark report"
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(data, '\n'), nil
}

func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		s := schemaOf(t.Elem())
		return map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer"}
	}
	panic("model: a report holds no " + t.String())
}

func structSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s := schemaOf(f.Type)
		if t == reflect.TypeFor[ledger.PowerRow]() && name == "effect" { // null where there is none
			s = schemaOf(reflect.PointerTo(f.Type))
		}
		if d := f.Tag.Get("desc"); d != "" {
			s["description"] = d
		}
		if d := f.Tag.Get("exempt"); d != "" {
			s["x-exempt"] = d
		}
		properties[name] = s
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}
