// Package intent is the encoding of operations in the outbox: an operation without what follows
// from the state it runs on. It has no behaviour; fs/vfs runs intents.
package intent
