// Package registry keeps the watermark keys of a model in one folder, with who
// was served under which key and when, so that what was served is what is
// verified years later.
//
// A key goes one way: planned, serving, retired, disclosed. Steps may be left
// out and none is taken back. Every step is a line of an append-only log with its
// time, its reason and who took it; the log is the registry's only state, and key
// files and commitments beside it never change. FORMAT.md has the bytes.
//
//	writer, err := registry.Open("keys", registry.Options{VerifyStamp: verify})
//	defer writer.Close()
//	err = writer.Add(key, "key of the winter release")
//	_, err = writer.Decoys(key.ID, 3, rand.Reader, "decoys of the winter release")
//	commitment, err := writer.Commit(nil, nil, "committed before serving")
//	_, err = writer.Publish(commitment.Root, token, "timestamped by …")
//	_, err = writer.Move(key.ID, registry.Move{To: registry.Serving, Reason: "release"})
//
// # What a registry vouches for
//
// A key counts as exact evidence only if its commitment bore a third party's
// timestamp before the first token was served under it: [Writer.Move] checks that
// order when serving begins. A key without such a commitment is served only where
// the caller says so ([Move].Exploratory), and the log says so for good.
//
// Decoys are keys that are committed like the others and never served: drawn for
// the same specification, epoch and cohort, and sorted among the others, so that
// nobody outside can tell which leaf of a commitment is served. What is found
// under them on a rival's text is what chance gives. They have a price: an audit
// charges log10(committed/declared) to log10 p, since whoever holds the keys could
// have tried them all. Which keys are decoys is written in the log, and the log is
// as secret as the keys.
//
// One key at a time serves a [Slot] (model, channel, cohort); a handover is one
// line, so that no moment is served under two keys or under none. Times of a step
// may lie in the future: the step is then a schedule, which readers follow by
// their clocks.
//
// # Reading
//
// [Load] gives an immutable [Registry]; [Watch] keeps the newest one at hand for a
// live gateway. [Registry.Serving] answers which key serves a slot at a time, a
// past one too, and does not allocate. A reader takes no lock and ignores a last
// line that has no end: it was never acknowledged.
//
// # Errors
//
// Folder and files must be closed to others (0700, 0600) or they are refused with
// [watermark.ErrPermissions]. A log or key file that is not exactly what this
// package wrote is [watermark.ErrMalformed]. Steps that are not allowed are a
// [RefusedError], and nothing was written.
//
// The package imports package watermark and the standard library: timestamps are
// verified by a function of the caller's, so that the way from key to probe keeps
// its direction.
package registry
