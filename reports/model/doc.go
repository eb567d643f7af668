// Package model turns a case and its findings into a report: one structure,
// report.json, that holds every number and every sentence that a reader will
// see. Laying it out as HTML is package reports' work; checking it leaf by leaf
// against a second computation is package verify's.
//
// [Build] is a pure function: the same case, findings and keys give the same
// bytes. Sentences about a finding come from the wording table of probe/family
// and from nowhere else; all other sentences stand in text/en.json, where
// another language is another file.
//
// The package imports watermark and its parts, corpora/tokens, probe/ledger,
// probe/wire and probe/family.
package model
