package ledger

import (
	"encoding/hex"
	"fmt"
	"testing"
)

// TestMerkleKnownAnswers uses the tree of the certificate-transparency project
// (github.com/google/certificate-transparency, merkletree tests), whose eight
// leaves and roots RFC 6962 implementations share.
func TestMerkleKnownAnswers(t *testing.T) {
	t.Parallel()
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", // empty: RFC 6962, section 2.1
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tree Tree
	var front frontier
	for i, want := range roots {
		if got := hexOfHash(tree.Root()); got != want {
			t.Errorf("root of %d leaves is %s, want %s", i, got, want)
		}
		if got := hexOfHash(front.root()); got != want {
			t.Errorf("frontier's root of %d leaves is %s, want %s", i, got, want)
		}
		if i < len(leaves) {
			leaf, err := hex.DecodeString(leaves[i])
			if err != nil {
				t.Fatal(err)
			}
			tree.Append(leaf)
			front.append(leaf)
		}
	}
}

func hexOfHash(h Hash) string { return hex.EncodeToString(h[:]) }

func TestMerkleProofs(t *testing.T) {
	t.Parallel()
	var tree Tree
	line := func(i int64) []byte { return fmt.Appendf(nil, "line %d", i) }
	for n := int64(1); n <= 70; n++ {
		tree.Append(line(n - 1))
		root := tree.Root()
		for i := range n {
			proof, err := tree.Prove(i)
			if err != nil {
				t.Fatal(err)
			}
			if len(proof) > 7 {
				t.Errorf("proof of %d in %d has %d hashes", i, n, len(proof))
			}
			if err := CheckInclusion(proof, n, root, i, line(i)); err != nil {
				t.Fatalf("line %d of %d: %v", i, n, err)
			}
			if CheckInclusion(proof, n, root, i, line(i+1)) == nil {
				t.Fatalf("line %d of %d: another line was proven", i, n)
			}
			if n > 1 && CheckInclusion(proof, n, root, (i+1)%n, line(i)) == nil {
				t.Fatalf("line %d of %d: proven at another place", i, n)
			}
			for j := range proof {
				proof[j][3] ^= 4
				if CheckInclusion(proof, n, root, i, line(i)) == nil {
					t.Fatalf("line %d of %d: a changed proof was accepted", i, n)
				}
				proof[j][3] ^= 4
			}
		}
	}
	if _, err := tree.Prove(70); err == nil {
		t.Error("a line behind the end was proven")
	}
	if _, err := tree.Prove(-1); err == nil {
		t.Error("line -1 was proven")
	}
	if err := CheckInclusion(nil, 0, tree.Root(), 0, nil); err == nil {
		t.Error("a line of an empty tree was accepted")
	}
	if tree.Size() != 70 {
		t.Errorf("size %d", tree.Size())
	}
}

func BenchmarkMerkle(b *testing.B) {
	line := make([]byte, 500)
	b.Run("frontier", func(b *testing.B) {
		var f frontier
		b.ReportAllocs()
		for b.Loop() {
			f.append(line)
		}
	})
	b.Run("tree", func(b *testing.B) {
		var t Tree
		b.ReportAllocs()
		for b.Loop() {
			t.Append(line)
		}
	})
}
