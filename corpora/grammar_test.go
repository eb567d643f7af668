package corpora

import (
	"fmt"
	"testing"
)

func TestSample(t *testing.T) {
	for _, d := range TextDomains() {
		fmt.Println("#####", d)
		fmt.Println(GenerateText(1, d, 3000))
	}
}
