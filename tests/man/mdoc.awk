# Takes apart a page of the manual: awk -v want=NAMES|PROTOTYPES|MEMBERS|CONSTANTS|REFERENCES|SECTIONS|EVENTS -f mdoc.awk PAGE
# With want=EXAMPLES, writes every program of the page to DIR/PAGE.N.c (-v dir=, -v page=).

# What mdoc writes of an argument: in quotes, it may hold blanks.
function arguments(line, found,    n, at) {
    n = 0
    while (length(line) > 0) {
        sub(/^ +/, "", line)
        if (line ~ /^"/) {
            at = index(substr(line, 2), "\"")
            found[++n] = substr(line, 2, at - 1)
            line = substr(line, at + 2)
        } else {
            at = index(line " ", " ")
            found[++n] = substr(line, 1, at - 1)
            line = substr(line, at + 1)
        }
    }
    return n
}

function plain(line) {
    gsub(/\\\(aq/, "'", line)
    gsub(/\\\(dq/, "\"", line)
    gsub(/\\&/, "", line)
    gsub(/\\-/, "-", line)
    gsub(/\\e/, "\\", line)
    return line
}

/^\.\\"/ { next }
/^\.Sh/ {
    section = substr($0, 5)
    if (want == "SECTIONS") print section
}
/^\.Nm/ && section == "NAME" && want == "NAMES" { print $2 }
/^\.Xr/ && want == "REFERENCES" { print $2 "." $3 }

# --- Prototypes ------------------------------------------------------------------------------------------------

want == "PROTOTYPES" && section == "SYNOPSIS" {
    if ($1 == ".Ft") {
        arguments(substr($0, 5), found)
        type = found[1]
    } else if ($1 == ".Fn" || $1 == ".Fo") {
        n = arguments(substr($0, 5), found)
        text = type " " found[1] "("
        for (i = 2; i <= n; i++) text = text (i > 2 ? ", " : "") found[i]
        if ($1 == ".Fn") print text ");"
        separator = ""
    } else if ($1 == ".Fa") {
        arguments(substr($0, 5), found)
        text = text separator found[1]
        separator = ", "
    } else if ($1 == ".Fc")
        print text ");"
}

# --- Lists -----------------------------------------------------------------------------------------------------

want == "MEMBERS" && /^\.It Fa/ {
    arguments(substr($0, 8), found)
    print found[1] ";"
}
want == "CONSTANTS" && /^\.It Dv/ { print $3 }
want == "EVENTS" && /^\.It Li/ && section == "DESCRIPTION" && $3 ~ /^[a-z_]+$/ { print $3 }

# --- Programs --------------------------------------------------------------------------------------------------

# A literal display that begins with a line for the preprocessor is a program; others are output or a picture.
want == "EXAMPLES" {
    if ($0 ~ /^\.Bd -literal/) {
        first = 1
        file = ""
    } else if ($0 ~ /^\.Ed/) {
        if (file != "") close(file)
        file = ""
        first = 0
    } else if (first || file != "") {
        if (first && $0 ~ /^#/) file = dir "/" page "." ++count ".c"
        first = 0
        if (file != "") print plain($0) > file
    }
}
