// Package house holds the rules of the house as a test: what lies at the top level, who may import
// what, how long a file may be, which words stay out. It reads the source of the whole tree with
// go/parser; it never builds, runs or changes anything, and no other package imports it.
//
// A rule is a function from the files to complaints, and a complaint says what to do. Each has
// samples beside it that it must complain about. Where a rule is wrong for one file, the exception
// goes into the table at the rule, with its reason.
package house
