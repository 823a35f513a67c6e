package engine

import "sync"

const (
	// keepBytes is the largest buffer that goes back: a rare large message must not be paid for by small ones later.
	keepBytes = 32 << 10
	// chunkBytes is how much is read at once from a client that has just sent much. What a client merely claims to send is no
	// reason to hold so much for it.
	chunkBytes = 8 << 10
)

// buffers are shared by all connections of an engine. Those of get begin small: memory follows what arrives.
type buffers struct {
	growing sync.Pool // *[]byte, for messages in pieces and for what waits to be written
	chunks  sync.Pool // *[chunkBytes]byte, for reading
}

func (b *buffers) get() *[]byte {
	if buffer, ok := b.growing.Get().(*[]byte); ok {
		*buffer = (*buffer)[:0]
		return buffer
	}
	return new([]byte)
}

func (b *buffers) put(buffer *[]byte) {
	if cap(*buffer) <= keepBytes {
		b.growing.Put(buffer)
	}
}

func (b *buffers) chunk() *[chunkBytes]byte {
	if chunk, ok := b.chunks.Get().(*[chunkBytes]byte); ok {
		return chunk
	}
	return new([chunkBytes]byte)
}

func (b *buffers) putChunk(chunk *[chunkBytes]byte) { b.chunks.Put(chunk) }
