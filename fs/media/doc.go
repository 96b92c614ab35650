// Package media is the model of a media between its records and its surfaces. It knows which fields
// a media has, which of them people may change, and how each reads as text; it makes one
// remote.Media out of what people say (record.Media), what the bytes say (record.Facts) and what
// the tree says (record.Node); and it applies changes to a record.
//
// All of it is a function of its arguments: no catalog, no clock, no user database, no I/O.
// Applying the same edits to the same record gives the same bytes on every machine. Whatever a
// record has in it, showing it neither fails nor panics: what makes no sense is left out, and what
// is too long is cut.
package media
