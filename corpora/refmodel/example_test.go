package refmodel_test

import (
	"context"
	"fmt"

	"github.com/stillmark/stillmark/corpora/refmodel"
)

// A student is trained on its own documents and on a teacher's replies.
func Example() {
	base := [][]int32{{1, 2, 3, 4, 1, 2, 5}, {1, 2, 3, 4}}
	replies := [][]int32{{1, 2, 5, 6}, {1, 2, 5, 6}, {1, 2, 5, 6}}
	student, err := refmodel.Train(append(base, replies...), refmodel.Options{Vocab: 8})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := refmodel.Sampling{Temperature: 0, MaxTokens: 2}
	err = student.Generate(context.Background(), []int32{1, 2}, s, func(t refmodel.Token) error {
		fmt.Println(t.ID)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 5
	// 6
}
