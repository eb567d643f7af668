package reading

import (
	"strings"
	"testing"
)

// TestVendors: a name is folded and belongs to one vendor, and no vendor is read in
// another's name, where a claim would be two.
func TestVendors(t *testing.T) {
	t.Parallel()
	all := Vendors()
	owner := make(map[string]string)
	every := new(Reading)
	for _, v := range all {
		names := append(append([]string{}, v.Names...), v.Words...)
		if v.ID == "" || len(v.Names) == 0 || len(names) > maxForms {
			t.Errorf("vendor %+v", v)
		}
		every.Options = append(every.Options, names)
		for _, name := range names {
			if name != Fold(name) || owner[name] != "" {
				t.Errorf("%s: the name %q is not folded or is of %q, too", v.ID, name, owner[name])
			}
			owner[name] = v.ID
		}
	}
	for i, v := range all {
		for _, name := range v.Names {
			for _, j := range every.Mentions(name) {
				if j != i {
					t.Errorf("%q of %s is read as %s", name, v.ID, all[j].ID)
				}
			}
		}
	}
	scripts := make(map[string]int)
	for name := range owner {
		for script, c := range map[string]string{"Han": "文克谷百", "Hangul": "구딥클네", "kana": "クジデー", "Cyrillic": "гкяс"} {
			if strings.ContainsAny(name, c) {
				scripts[script]++
			}
		}
	}
	if len(all) < 40 || len(scripts) != 4 {
		t.Errorf("%d vendors, names in scripts %v", len(all), scripts)
	}
}
