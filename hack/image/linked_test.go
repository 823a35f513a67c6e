package image

import (
	"slices"
	"strings"
	"testing"
)

func TestLibrariesAreReadFromTheLoadersWords(t *testing.T) {
	const text = `	linux-vdso.so.1 (0x00007ffd0b5f2000)
	libcrypt.so.1 => /lib/x86_64-linux-gnu/libcrypt.so.1 (0x00007f5c9c6c9000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5c9c4e8000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f5c9c9f3000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5c9c4e8000)
`
	got, err := parseLibraries(text)
	want := []string{"/lib/x86_64-linux-gnu/libcrypt.so.1", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("libraries %v, %v", got, err)
	}
	if _, err := parseLibraries("\tlibpcre2-8.so.0 => not found\n"); err == nil || !strings.Contains(err.Error(), "libpcre2-8.so.0") {
		t.Errorf("a missing library: %v: the image would not start", err)
	}
}
