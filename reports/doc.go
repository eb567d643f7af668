// Package reports writes what a reader gets: report.json from a case and its
// findings ([Build]), page, paper, tables and a draft certificate laid out from it in
// its language ([Files]), and the seal over the whole case ([Seal]).
//
// The HTML is one file without scripts and without external loads; a strict
// content security policy stands in it, so that a hostile reply that got past
// the escaping still could do nothing. Figures are SVG templates of this package
// and not gonum/plot's output: that writes fixed colours and no titles, so that
// neither a dark background nor a screen reader is served, and it would bring
// fonts and a rasteriser into the verifier, which renders the report again to
// compare it byte by byte.
//
// The package imports reports/model, reports/verify/integrity (what a seal says is
// declared where it is checked), watermark and its parts, probe/ledger and
// probe/family.
package reports
