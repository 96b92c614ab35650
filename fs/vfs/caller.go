package vfs

import "context"

type callerKey struct{}

// WithCaller tells in a context who asks, for methods that have no Caller of their own: what a view
// shows depends on it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is who asks; ok is false when the context does not say, which is the library's own work.
func CallerOf(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// CallerKey is the key under which an adapter's own kind of context has its Caller.
func CallerKey() any { return callerKey{} }
