package image

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Linked lists a program of this machine and the shared libraries that it loads, for an image that runs it.
func Linked(ctx context.Context, program string) ([]File, error) {
	out, err := exec.CommandContext(ctx, "ldd", program).Output() //nolint:gosec // the program goes into an image because someone asked for it
	if err != nil {
		return nil, fmt.Errorf("list the libraries of %s: %w", program, err)
	}
	libraries, err := parseLibraries(string(out))
	if err != nil {
		return nil, fmt.Errorf("libraries of %s: %w", program, err)
	}
	files := []File{{Path: program, Source: program, Mode: 0o755}}
	for _, library := range libraries {
		files = append(files, File{Path: library, Source: library, Mode: 0o755})
	}
	return files, nil
}

// parseLibraries reads ldd's lines: "libc.so.6 => /lib/x/libc.so.6 (0x7f...)", "/lib64/ld-linux.so.2 (0x7f...)", and
// "linux-vdso.so.1 (0x7f...)", which is the kernel's and no file.
func parseLibraries(text string) ([]string, error) {
	var libraries []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("%s is not on this machine", fields[0])
		}
		at := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, "/") })
		if at >= 0 && !slices.Contains(libraries, fields[at]) {
			libraries = append(libraries, fields[at])
		}
	}
	return libraries, nil
}

// Nginx is the image of this machine's nginx with the files that its configurations include. It runs as any user.
func Nginx(ctx context.Context, reference string) (Spec, error) {
	const program = "/usr/sbin/nginx"
	files, err := Linked(ctx, program)
	if err != nil {
		return Spec{}, err
	}
	files = append(files,
		File{Path: "/etc/nginx/mime.types", Source: "/etc/nginx/mime.types", Mode: 0o644},
		File{Path: "/etc/passwd", Text: "root:x:0:0::/:/sbin/nologin\nnginx:x:65532:65532::/:/sbin/nologin\n", Mode: 0o644},
		File{Path: "/etc/group", Text: "root:x:0:\nnginx:x:65532:\n", Mode: 0o644},
	)
	return Spec{
		Name:  reference,
		Files: files,
		// nginx opens its built-in log and temporary folders before it reads its configuration.
		Folders:    []string{"/var/log/nginx", "/var/lib/nginx", "/run"},
		Entrypoint: []string{program},
		Command:    []string{"-e", "/dev/stderr", "-g", "daemon off;"},
		User:       NonRoot,
		Ports:      []string{"8080/tcp"},
	}, nil
}
