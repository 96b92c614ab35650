// Package record is the schema of a bucket library: the keys and messages that its log and
// checkpoints carry, and the encoding of commits. It is part of the format: FORMAT.md in
// remote/bucket describes it for other programs.
//
// It does no I/O and knows no rules: what a valid sequence of writes is, is the business of fs/vfs.
package record
