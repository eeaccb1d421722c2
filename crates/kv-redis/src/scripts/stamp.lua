return { version, floor }
