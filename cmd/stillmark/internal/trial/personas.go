package trial

import (
	"cmp"

	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
)

// ordinaryAbility is that of a persona whose script does not say.
const ordinaryAbility = .6

// Personas makes the scripted models of a mock server's script, which know the prompts
// of the suites; nil where the script has none.
func Personas(seed uint64, script *mock.Script, suites []probe.PlanSuite) (map[string]mock.Generator, error) {
	prompts, err := sealedPrompts(suites)
	if err != nil {
		return nil, err
	}
	world, models := persona.NewWorld(seed), map[string]*persona.Model{}
	for name, m := range script.Models {
		if p := m.Persona; p != nil {
			models[name] = world.Model(persona.Traits{
				Name: name, Vendor: cmp.Or(p.Vendor, name), School: cmp.Or(p.School, name), Ability: cmp.Or(p.Ability, ordinaryAbility),
				Transfer: p.Transfer, Impostor: p.Impostor, ImpostorVendor: p.ImpostorVendor, Tokenizer: p.Tokenizer,
				Speaks: p.Speaks, Moulds: p.Moulds, Boundary: p.Boundary,
			})
		}
	}
	out := map[string]mock.Generator{}
	for name, m := range models {
		m.Teacher = models[script.Models[name].Persona.Teacher]
		out[name] = m.Generator(prompts)
	}
	return out, nil
}
