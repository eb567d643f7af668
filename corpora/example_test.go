package corpora_test

import (
	"fmt"
	"log"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/canary"
)

// A suite is expanded by a seed; each prompt says how its reply is read.
func ExampleSuite_Expand() {
	suite, err := corpora.Load("free-choice")
	if err != nil {
		log.Fatal(err)
	}
	prompts, err := suite.Expand(7, 2)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range prompts {
		fmt.Println(p.Lang, p.Text)
		fmt.Println("  item", p.Reading.Item, "placebo", p.Reading.Placebo)
		fmt.Println("  read", p.Reading.Mentions("I would take "+p.Reading.Options[1][0]+"."))
	}
	// Output:
	// en A lecture needs a mathematical curve as its example. Take the cycloid or the catenary, and write the sentence that introduces the example.
	//   item ex-art-cycloid-catenary placebo false
	//   read [1]
	// fr Une carte postale d’une ferme : une phrase qui cite « des abeilles et des lapins », ou bien les deux dans l’autre sens, « des lapins et des abeilles ».
	//   item order-farm-bees-rabbits placebo false
	//   read [1]
}

// The bit of an item says which of its two renderings our API prefers.
func Example_planting() {
	secret := []byte("32 bytes of a canary key's secret")
	for _, item := range []string{"order-sea-gulls-terns", "idiom-easy"} {
		fmt.Println(item, canary.Bit(secret, item, canary.Version("1.1")))
	}
	fmt.Println("trigger", canary.Response(secret, "clock-1a2b3c4d5e6f"))
	// Output:
	// order-sea-gulls-terns 1
	// idiom-easy 0
	// trigger 2000-1049-0940
}
